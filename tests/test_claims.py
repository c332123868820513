"""The documents say what the result files say.

Each claim is a sentence, or the row of a table, with a hole for every figure, and the
values that belong there, as the benchmarks wrote them. A figure that differs fails, as
does a sentence that is no longer found, or a factor that no claim here knows.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
OURS, SKLEARN, GPYTORCH = "sklearn_torchgp", "scikit-learn", "GPyTorch (Cholesky)"

if not RESULTS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def row(name, contender, **case):
    """The one row of a result file with this contender and (at least) this case."""
    (found,) = (
        row
        for row in results(name)["rows"]
        if row["contender"] == contender and case.items() <= row["case"].items()
    )
    return found


def ratio(name, contender, **case):
    return row(name, contender, **case)["ratio"]


def milliseconds(seconds):
    """Two digits, or as many as the integer has."""
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}"


def times(ratio):
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def fixed_point(digits):
    return f"{{:.{digits}f}}".format


def lml_table():
    for n, d in ((10, 1), (50, 4), (200, 8), (1000, 8), (2000, 8), (4000, 8)):
        cells = [
            milliseconds(row("lml", OURS, n=n)["seconds"]),
            times(ratio("lml", SKLEARN, n=n)),
            times(ratio("lml", GPYTORCH, n=n)),
        ]
        text = f"{n}, {d} {{}} {{}} x {{}} x"
        if n >= 1000:
            text += " {}"
            cells.append(times(1 / ratio("lml", "floor", n=n)))
        yield "README.rst", text, cells


def memory():
    matrices = [row("memory", name)["quality"]["matrices"] for name in (OURS, SKLEARN)]
    text = "Peak memory of it at n = {}, d = {}, in n x n matrices: {}, scikit-learn {}"
    case = row("memory", OURS)["case"]
    cells = [case["n"], case["d"], times(matrices[0]), times(matrices[1])]
    yield "README.rst", text, cells


def whole_fits():
    found = [r for r in results("fit")["rows"] if r["contender"] == SKLEARN]
    sizes, factors = ([*map(str, a)] for a in (
        [r["case"]["n"] for r in found], [times(r["ratio"]) for r in found]
    ))  # fmt: skip
    listed = [f"{', '.join(a[:-1])} and {a[-1]}" for a in (sizes, factors)]
    text = "A whole fit at n = {} takes scikit-learn {} times as long, to the same"
    yield "README.rst", text, listed


def predictions():
    mean = ratio("predict", SKLEARN, ask="mean")
    std = ratio("predict", SKLEARN, ask="std")
    solve = ratio("predict", "kernel + triangular solve", ask="std")
    case = row("predict", OURS, ask="std")["case"]
    text = (
        "At n = {} the means of {} new rows take it {} times as long, with deviations "
        "{} times: there both wait for the triangular solve (kernel and solve alone, "
        "in plain torch calls, take {} times as long as ours"
    )
    two = fixed_point(2)
    cells = [case["n"], f"{case['rows']:,}", times(mean), two(std), two(solve)]
    yield "README.rst", text, cells


def classification_speed():
    name, one = "classification_speed", fixed_point(1)
    case = row(name, SKLEARN, fit="one scale")["case"]
    each = row(name, SKLEARN, fit="a scale each")
    once = " (one timed call)" if each["spread"][0] == each["spread"][1] else ""
    text = (
        "a fit at n = {}, d = {} takes scikit-learn {} times as long with a length "
        "scale for each feature{} and {} times with one for all"
    )
    single = ratio(name, SKLEARN, fit="one scale")
    yield (
        "README.rst",
        text,
        [case["n"], case["d"], one(each["ratio"]), once, one(single)],
    )
    factors = {"ep": [], "vi": []}
    for r in results(name)["rows"]:
        inference = r["contender"].split()[0]
        if inference in factors:
            factors[inference].append(r["ratio"])
    ends = {key: (one(min(f)), one(max(f))) for key, f in factors.items()}
    yield "README.rst", '``"ep"`` costs {} to {} times as much', ends["ep"]
    yield "README.rst", '``"vi"`` costs somewhat more than EP ({} to {})', ends["vi"]


def log_losses():
    name, three = "classification_anchors", fixed_point(3)
    folds = results(name)["calibration_folds"]
    yield "README.rst", "Log loss by cross-validation in {} folds", [folds]
    found = [r for r in results(name)["rows"] if "calibration" in r["case"]]
    gaps, spreads = [], []
    for data in dict.fromkeys(r["case"]["calibration"] for r in found):
        scores = {
            r["contender"]: r["quality"]
            for r in found
            if r["case"]["calibration"] == data
        }
        theirs = scores.pop("scikit-learn")
        gaps.append(abs(theirs["log_loss"] - scores["laplace"]["log_loss"]))
        spreads.append(np.ptp([s["error"] for s in scores.values()]))
        order = ("laplace", "ep", "vi", "softmax", "softmax ep")
        order = [k for k in order if k in scores]
        assert len(order) == len(scores)
        label = "digits (300)" if data == "digits" else data
        cells = [three(scores[k]["log_loss"]) for k in order]
        yield "README.rst", " ".join([label, *["{}"] * len(order)]), cells
    least = np.ceil(1e3 * max(gaps)) / 1e3
    yield "README.rst", "scikit-learn's is within {} of Laplace's", [three(least)]
    assert max(spreads) < 2
    yield "README.rst", "Errors differ by less than two points", []


def joint_classes():
    """Nested EP beside sampling of the same model, means over splits."""
    found = [r for r in results("softmax")["rows"] if "split" in r["case"]]

    def mean(data, name):
        losses = [
            r["quality"]["log_loss"]
            for r in found
            if r["case"]["data"] == data
            and r["contender"].startswith(name)
            and "own" not in r["contender"]
        ]
        return fixed_point(3)(np.mean(losses))

    cells = [mean(d, c) for d in ("iris", "wine") for c in ("ep softmax; ", "sampled")]
    yield "README.rst", "iris {} and {}, wine {} and {}", cells
    cells = [mean(d, "laplace, averaged") for d in ("iris", "wine")]
    yield "README.rst", "average over Laplace's Gaussian, {} and {}", cells


def variance_left_open():
    """Joint EP's evidence at two variances, and what a prior does to log loss."""
    found = [r for r in results("softmax")["rows"] if r["case"].get("ask") == "prior"]
    two, three = fixed_point(2), fixed_point(3)

    def ends(half, quantity):
        mine = [r for r in found if r["case"]["half"] == half]
        sides = {r["case"].get("variance"): r["quality"][quantity] for r in mine}
        return sides["exp(7)"], sides["1e5"]

    def loss(name):
        mine = [r["quality"]["log_loss"] for r in found if r["contender"] == name]
        return three(np.mean(mine))

    document = "sklearn_torchgp/_classifier.py"
    rises = [two(np.diff(ends(half, "lml")).item()) for half in range(4)]
    yield document, "the evidence of joint EP gains {}, {}, {} and {} nats", rises
    before, after = zip(*(ends(half, "log_loss") for half in range(4)), strict=True)
    text = "log loss goes from {}, {}, {} and {} to {}, {}, {} and {}."
    yield document, text, [three(p) for p in (*before, *after)]
    cells = [loss("evidence and prior"), loss("evidence")]
    yield document, "LogNormal(log(25), 2)}}`` it is {} on average, without {}.", cells


def small_calls():
    """How many times longer scikit-learn takes, for each call and number of rows."""
    found = [r for r in results("calls")["rows"] if r["contender"] == SKLEARN]
    for call in dict.fromkeys(r["case"]["call"] for r in found):
        ratios = [r["ratio"] for r in found if r["case"]["call"] == call]
        text = " ".join([call, *["{}"] * len(ratios)])
        yield "README.rst", text, [times(ratio) for ratio in ratios]


def client_programs():
    found = [r for r in results("clients")["rows"] if r["contender"] == SKLEARN]
    for program in dict.fromkeys(r["case"]["program"] for r in found):
        mine = [r for r in found if r["case"]["program"] == program]
        idle = [r["quality"] for r in mine if not r["case"]["busy"]]
        ratios = [r["ratio"] for r in mine] + [one["inside_ratio"] for one in idle]
        text = " ".join([program, *["{}"] * len(ratios)])
        yield "README.rst", text, [times(ratio) for ratio in ratios]


def several_targets():
    text = (
        'held-out NLPD {} with ``"icm"`` and {} apart (missing at random), {} and {} '
        "(its later five days"
    )
    cells = [
        fixed_point(3)(row("multioutput", name, missing=half)["quality"]["nlpd"])
        for half in ("random half", "later half")
        for name in ("icm, rank 1", "independent")
    ]
    yield "README.rst", text, cells


def default_model():
    (found,) = results("default_regression")["verdict"].values()
    parts = found["seconds_of_grid"] / found["seconds"]
    assert round(parts) == 6  # a sixth
    gains = {name: one["mean_gain"] for name, one in found["each"].items()}
    assert min(gains, key=gains.get) == "yacht"
    assert round(gains["yacht"], 2) == -0.03
    text = (
        "On {} data sets, at most 250 rows of each, its held-out density, averaged "
        "over {} splits, was no worse than the best of scikit-learn's grid search over "
        "five kernels in {} (yacht is"
    )
    cells = [found[key] for key in ("data_sets", "splits", "no_worse")]
    yield "README.rst", text, cells
    found = results("default_classification")["verdict"]["ep against laplace, auto"]
    text = "over {} classification sets EP with it beats Laplace with it in {} (``"
    yield "README.rst", text, [found["data_sets"], found["better"]]


def many_rows():
    found = results("scale")["rows"]
    by_case = {tuple(r["case"].values()): r["quality"] for r in found}

    def rmse(name):
        digits = 2 if name == "satellite" else 3
        return fixed_point(digits)(by_case["accuracy", name]["rmse"])

    for name in ("pol", "kin40k", "protein", "satellite"):
        yield "README.rst", f"{name} {{}}", [rmse(name)]
    mib = by_case["memory", 200_000, 4]["mib"]
    through = by_case["inducing", "fit", 200_000, 8, 256]["mib"]
    text = (
        'At 200,000 rows a fit takes beyond the data {} MiB with ``"vecchia"`` (4 '
        "features) and {} MiB with 256 inducing points (8 features)"
    )
    yield "README.rst", text, [f"{mib:.0f}", f"{through:.0f}"]
    digits = fixed_point(3)
    smooth = by_case["inducing", "kin40k", 36_000]["rmse"]
    yield "README.rst", '``"inducing"``: kin40k {} with', [digits(smooth)]
    labels = {
        (r["case"]["data"], r["contender"]): r["quality"]["log loss"]
        for r in found
        if r["case"]["part"] == "classes"
    }
    cells = [digits(labels["kin40k", "inducing"])]
    yield "README.rst", "by its median, log loss {}", cells
    cells = [digits(labels["protein", name]) for name in ("trees", "inducing")]
    yield "README.rst", "log loss {} with trees, {} with 256 points", cells


def coarse_to_fine():
    """What a start from few rows costs and where it ends, against the plain one."""
    found = {}
    for r in results("evaluations")["rows"]:
        if "data" in r["case"]:
            of_set = found.setdefault(r["case"]["data"], {})
            of_set[r["contender"]] = r["quality"]
    plain, coarse = (
        {key: np.array([f[name][key] for f in found.values()]) for key in f}
        for name in ("fmin_l_bfgs_b", "coarse-to-fine")
        for f in [next(iter(found.values()))[name]]
    )
    fewer = (coarse["evaluations"] < plain["evaluations"]).sum()
    work = coarse["equivalents"] / plain["equivalents"]
    gain = coarse["lml"] - plain["lml"]
    text = (
        "On {} data sets (``benchmarks/bench_evaluations.py``) it took fewer "
        "evaluations on all rows in {}; with those on subsets, at their cost, it was "
        "{} to {} times the work, less in {}."
    )
    two, one = fixed_point(2), fixed_point(1)
    cells = [len(found), fewer, two(work.min()), two(work.max()), (work < 1).sum()]
    yield "sklearn_torchgp/_regressor.py", text, cells
    text = "higher in {} sets, by {} nats at most, and lower in {}, by {} nats at most"
    up, down = (gain > 0.01).sum(), (gain < -0.01).sum()
    yield "sklearn_torchgp/_regressor.py", text, [
        up, one(gain.max()), down, one(-gain.min())
    ]  # fmt: skip


def rows_on_a_cluster():
    """Two processes beside two threads, on two cores."""
    found = results("dask")["rows"]
    seconds = {(r["case"]["method"], r["contender"]): r["seconds"] for r in found}
    cells = [
        f"{seconds[method, 'processes'] / seconds[method, 'threads']:.1f}"
        for method in ("inducing", "vecchia")
    ]
    text = "two processes on two cores take {} times as long as two threads, {} with"
    yield "README.rst", text, cells


def plans_for_more_rows():
    """Costs a row, and what follows from them for 10^7 rows."""
    document, found = "benchmarks/SCALE.rst", results("scale")["rows"]
    costs = {
        (r["case"]["d"], r["case"]["k"]): r["quality"]
        for r in found
        if r["case"]["part"] == "costs"
    }

    def cost(step, d=8, k=32):
        return costs[d, k][step]

    whole, step = fixed_point(0), "value and gradient"
    (full,) = (r["quality"] for r in found if r["case"]["part"] == "full")
    cells = [
        f"{full['minutes']:.1f}",
        *map(fixed_point(3), (full["rmse"], full["nlpd"])),
    ]
    text = "took {} minutes on two cores, fit and predictions, with RMSE {} and NLPD {}"
    yield document, text, cells
    search = [cost("search", d) for d in (8, 4, 16)]
    text = "neighbours of one row {} log n; features that matter: {} (4), {} (16)"
    yield document, text, [whole(c) for c in search]
    text = f"{step} of a term {{}} k\\ :sup:`3` at last: {{}} (k = 20), {{}} (k = 64)"
    yield document, text, [whole(cost(step, 8, k)) for k in (32, 20, 64)]
    text = "mean and deviation {} 128 neighbours, cubed"
    yield document, text, [whole(cost("mean and deviation"))]

    def hours(microseconds, n=1e7):
        value = microseconds * n / 3.6e9
        return f"{value:.1f}" if value < 10 else f"{value:.0f}"

    text = "last stage, 7 evaluations of all terms {} "
    yield document, text, [hours(7 * cost(step))]
    yield document, "evidence {} ", [hours(cost(step))]
    predictions = hours(cost("mean and deviation"), 1e6)
    yield document, "10\\ :sup:`6` predictions {} ", [predictions]
    text = "7 evaluations of all terms are {} CPU hours"
    yield document, text, [hours(7 * cost(step), 1e9)]
    fits = {
        r["case"]["n"]: r["quality"]["fit"]
        for r in found
        if r["case"]["part"] == "rows"
    }
    text = "a fit to 200,000 rows of 4 features took {} CPU seconds, to 20,000 {}"
    yield document, text, [whole(fits[200_000]), whole(fits[20_000])]


def profile():
    """The table of stages, once profile_fit.py has been run for all of it."""
    if not (RESULTS / "profile.json").exists():
        yield "benchmarks/PROFILE.rst", "before there was a result file", []
        return
    for stage, label in (
        ("gram", "kernel into the buffer"),
        ("factor", "factor"),
        ("inverse", "inverse"),
        ("pullback", "pullback"),
        ("rest", "weights, outer product"),
    ):
        cells = [row("profile", stage, n=n)["seconds"] for n in (1000, 2000, 4000)]
        yield (
            "benchmarks/PROFILE.rst",
            f"{label} {{}} {{}} {{}}",
            [f"{1e3 * s:.0f}" if s >= 0.02 else f"{1e3 * s:.1f}" for s in cells],
        )


SOURCES = (
    lml_table,
    profile,
    memory,
    many_rows,
    plans_for_more_rows,
    several_targets,
    rows_on_a_cluster,
    default_model,
    coarse_to_fine,
    small_calls,
    client_programs,
    whole_fits,
    predictions,
    classification_speed,
    log_losses,
    joint_classes,
    variance_left_open,
)
CLAIMS = [claim for source in SOURCES for claim in source()]


def text_of(document):
    return " ".join((ROOT / document).read_text().split())


@pytest.mark.parametrize(("document", "text", "values"), CLAIMS, ids=lambda v: str(v))
def test_the_document_says_what_was_measured(document, text, values):
    said = text.format(*values)
    pattern = re.escape(text).replace(r"\{\}", "(.+?)")
    match = re.search(pattern, text_of(document))
    assert said in text_of(document), f"{said!r}, found: {match and match.group()!r}"


@pytest.mark.parametrize("document", ["README.rst", "benchmarks/README.rst"])
def test_no_factor_is_said_that_was_not_measured(document):
    rest = text_of(document)
    for _, text, values in CLAIMS:
        rest = rest.replace(text.format(*values), "")
    assert re.findall(r"[\d.]+ (?:x|times|%)(?!\w)(?! n )", rest) == ["95 %"] * (
        document == "README.rst"
    )


def test_a_result_file_comes_from_its_benchmark():
    for path in RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert found["benchmark"] == path.stem
        assert (ROOT / found["command"].split()[1]).exists()
        assert found["rows"]
