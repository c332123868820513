"""Mutation test: do the tests notice when a line of the package is wrong?

    python tests/mutants.py                  # 80 random mutants, two at a time
    python tests/mutants.py --list           # which ones, without running a test
    python tests/mutants.py --only sklearn_torchgp/_linalg --number 10 --near

Each mutant is one small change of the syntax tree (a comparison, an operator, a number,
a condition, an argument or a statement) in a copy of the repository. First the tests
that `TESTS` names for its file run, then all others; it is killed by the first that
fails, or by taking far too long. Docstrings, messages of errors and warnings, and
declarations are left alone. Not part of the suite.
"""

import argparse
import ast
import difflib
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sklearn_torchgp"
NOT_COPIED = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis")

# The first part of a path that fits names the tests that run first; "*" may stand for
# any letters, and a file that is not there is left out.
TESTS = {
    "_classifier.py": "test_classifier*",
    "_classification/": "test_classifier*",
    "_regressor.py": "test_regressor_[bps]* test_partial* test_weights* test_noise*",
    "_regression/leave": "test_loo* test_trend* test_target*",
    "_regression/out": "test_outputs* test_gradient* test_target*",
    "_regression/paths": "test_paths* test_target*",
    "_regression/target": "test_target* test_trend* test_regressor_state* test_noise*",
    "_regression/trend": "test_trend* test_gradient*",
    "_regression/up": "test_partial*",
    "_regression/attributes": "test_trend* test_target* test_regressor_s*"
    " test_partial*",
    "_regression/each": "test_multi*",
    "_regression/multi": "test_multi*",
    "_regression/several": "test_multi*",
    "_regression/independent": "test_multi*",
    "_regression/coregional": "test_multi*",
    "_regression/long": "test_multi*",
    "_regression/predict": "test_noise* test_outputs* test_regressor_[ps]*",
    "_regression/": "test_loo* test_noise* test_weights* test_trend* test_regressor_s*"
    " test_coarse* test_together* test_partial* test_target* test_outputs*",
    "metrics.py": "test_metrics*",
    "inspection/": "inspection",
    "_model/plans/vecchia": "test_vecchia*",
    "_model/plans/inducing": "test_inducing*",
    "_inference/inducing/": "test_inducing* test_contracts* inference/test_inducing*",
    "_model/lbfgsb": "test_optimize* test_float32*",
    "_model/methods": "test_regressor_b* test_classifier* test_vecchia_[ef]*",
    "_model/initial": "test_regressor_[bps]* test_classifier*",
    "_model/validation": "test_regressor_[bes]* test_tensors* test_small_calls*",
    "_model/progress": "test_progress*",
    "_model/summary": "test_summary*",
    "_model/state": "test_small_calls* test_regressor_s* test_devices*",
    "priors.py": "test_priors*",
    "_model/log_prior": "test_priors*",
    "_model/default": "test_default*",
    "_model/together": "test_together* test_coarse*",
    "_model/": "test_regressor_[bs]* test_optimize* test_coarse* test_together*"
    " test_partial* test_loo* test_classifier* test_devices*",
    "_data/rows": "test_weights* test_noise* test_regressor_b* test_loo*"
    " test_classifier*",
    "_data/": "test_tensors* test_regressor_[bes]* test_devices* test_classifier*",
    "_covariance/hyper": "test_small_calls* covariance/test_fa* test_regressor_bad*",
    "_inference/few": "test_speed* test_small_calls* test_regressor_p*",
    "_covariance/few": "test_speed* covariance test_regressor_p*",
    "_covariance/features": "test_paths*",
    "_covariance/slopes": "test_gradient* covariance",
    "_covariance/": "covariance test_regressor_p* test_gradient* test_paths*",
    "_likelihoods/gaussian": "test_contracts* test_weights* test_noise* test_loo*"
    " test_trend*",
    "_likelihoods/": "likelihoods inference test_classifier*",
    "_inference/exact/leave": "test_loo* test_trend*",
    "_inference/exact/mixed": "inference/test_exact* test_speed* test_regressor_b*",
    "_inference/exact/trend": "test_trend*",
    "_inference/exact/batch": "test_together*",
    "_inference/exact": "inference test_contracts* test_regressor_p* test_weights*"
    " test_noise* test_trend* test_partial* test_loo*",
    "_inference/sites": "inference test_classifier*",
    "_inference/vecchia": "test_contracts* test_vecchia*",
    "_inference/": "inference test_contracts* test_noise* test_outputs* test_gradient*"
    " test_regressor_[ps]* test_classifier*",
    "_linalg/threads": "test_threads*",
    "_linalg/memory": "test_tensors* test_regressor_s* test_classifier*",
    "_linalg/": "linalg inference test_regressor_p* test_partial* test_outputs*",
    "kernels/": "kernels covariance",
}

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
# Functions, and methods of tensors and arrays, that change into each other or go.
SWAPS = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum",
    "amin": "amax", "amax": "amin", "argmin": "argmax", "argmax": "argmin",
    "any": "all", "all": "any", "tril": "triu", "exp": "expm1", "zeros": "ones",
    "ones": "zeros", "add_": "sub_", "mul_": "div_", "isfinite": "isnan",
}  # fmt: skip
STATEMENTS = (ast.Expr, ast.AugAssign, ast.Continue, ast.Break)
# Messages and declarations.
SKIPPED = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)
# A copy elsewhere is no other number, and `strict` only guards.
KEPT_KEYWORDS = {"device", "strict", None}
DROPPED = {"clamp", "clamp_", "clip", "abs", "sqrt", "square", "log", "tril_", "mT"}


@dataclass
class Mutant:
    """One changed file: the mutated source, and what changed."""

    path: str
    line: int
    source: str
    diff: str

    def __str__(self):
        return f"{self.path}:{self.line}"


def changes(node):
    """Functions of a copy of the node: they change it in place or give another one."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = COMPARE[type(node.ops[0])]
        yield lambda n: setattr(n, "ops", [other()])
    elif isinstance(node, ast.BoolOp):
        either = {ast.And: ast.Or, ast.Or: ast.And}[type(node.op)]
        yield lambda n: setattr(n, "op", either())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield lambda n: n.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield lambda n: setattr(n, "test", _negated(n.test))
    if type(getattr(node, "op", None)) in ARITHMETIC:
        yield lambda n: setattr(n, "op", ARITHMETIC[type(n.op)]())
    if isinstance(node, STATEMENTS) and not _is_text(node):
        yield lambda n: ast.Pass()


def _negated(test):
    negation = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return test.operand if negation else ast.UnaryOp(ast.Not(), test)


def _other_constants(value):
    if isinstance(value, bool):
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(value, int):
        yield lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(value, float):
        yield lambda n: setattr(n, "value", 10 * n.value if n.value else 1.0)


def _other_calls(node):
    name = getattr(node.func, "attr", getattr(node.func, "id", None))
    field = "attr" if isinstance(node.func, ast.Attribute) else "id"
    if name in SWAPS:
        yield lambda n: setattr(n.func, field, SWAPS[name])
    if name in DROPPED and field == "attr":
        module = getattr(node.func.value, "id", None) in ("np", "torch", "math")
        if not module:
            yield lambda n: n.func.value
        elif node.args:
            yield lambda n: n.args[0]
    for position, keyword in enumerate(node.keywords):
        if keyword.arg not in KEPT_KEYWORDS:
            yield lambda n, at=position: n.keywords.pop(at)


def _is_text(node):
    value = getattr(node, "value", None)
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def sites(tree):
    """(place in a walk through the tree, number of the change) of every mutant."""
    left_alone = set()
    for node in ast.walk(tree):
        if isinstance(node, SKIPPED) or _name(getattr(node, "func", None)) == "warn":
            left_alone.update(map(id, ast.walk(node)))
        for part in (
            *getattr(node, "decorator_list", ()),
            getattr(node, "annotation", None),
            getattr(node, "returns", None),
        ):
            left_alone.update(map(id, ast.walk(part)) if part is not None else ())
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in left_alone:
            yield from ((place, i) for i, _ in enumerate(changes(node)))


def _name(node):
    return getattr(node, "attr", getattr(node, "id", None))


class _Replace(ast.NodeTransformer):
    def __init__(self, old, new):
        self.old, self.new = old, new

    def visit(self, node):
        return self.new if node is self.old else self.generic_visit(node)


def mutant_of(path, site):
    """The mutant of a file at a site, None if it is no Python or no change."""
    tree = ast.parse(path.read_text())
    before = ast.unparse(tree)
    name = path.relative_to(ROOT).as_posix()
    place, number = site
    (old,) = (node for i, node in enumerate(ast.walk(tree)) if i == place)
    change = list(changes(old))[number]
    line = getattr(old, "lineno", 0)
    new = change(old)
    if isinstance(new, ast.AST) and not isinstance(new, ast.keyword):
        tree = _Replace(old, new).visit(tree)
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
        compile(source, name, "exec")
    except (SyntaxError, ValueError, AttributeError):
        return None
    lines = difflib.unified_diff(
        before.splitlines(), source.splitlines(), lineterm="", n=0
    )
    diff = "\n".join(line for line in lines if line[:3] not in ("---", "+++"))
    return Mutant(name, line, source, diff) if diff else None


def choose(only, number, seed):
    """A random sample, the same for the same seed, of all mutants under `only`."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    files = [f for f in files if f.relative_to(ROOT).as_posix().startswith(only)]
    every = [(f, site) for f in files for site in sites(ast.parse(f.read_text()))]
    random.Random(seed).shuffle(every)
    made = (mutant_of(*one) for one in every)
    found = list(itertools.islice(filter(None, made), number))
    return sorted(found, key=lambda m: (m.path, m.line, m.diff))


def nearest_tests(path):
    """The tests that stand nearest to a file of the package: names under tests/."""
    inside = path.removeprefix(f"{PACKAGE}/")
    for start, names in TESTS.items():
        if inside.startswith(start):
            found = [
                path.relative_to(ROOT).as_posix()
                for name in names.split()
                for path in sorted(ROOT.glob(f"tests/{name}"))
                if path.is_dir() or path.suffix == ".py"
            ]
            return list(dict.fromkeys(found))
    return []


def fate(mutant, timeout, near_only=False):
    """What killed the mutant, by the nearest tests and then by all; or SURVIVED."""
    near = nearest_tests(mutant.path)
    rest = ["tests", *(f"--ignore={name}" for name in near)]
    with tempfile.TemporaryDirectory() as folder:
        there = shutil.copytree(ROOT, Path(folder) / "copy", ignore=NOT_COPIED)
        (there / mutant.path).write_text(mutant.source)
        for selected in (near, [] if near_only else rest):
            found = _pytest(there, selected, timeout) if selected else ""
            if found:
                return f"killed by {found}"
    return "SURVIVED"


def unchanged(timeout):
    """What fails in a copy without any change, '' if all is well."""
    with tempfile.TemporaryDirectory() as folder:
        there = shutil.copytree(ROOT, Path(folder) / "copy", ignore=NOT_COPIED)
        return _pytest(there, ["tests"], timeout)


def _pytest(there, selected, timeout):
    """The first test that fails, '' if all selected tests pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    settings = {"PYTHONPATH": str(there), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, "-m", "not clients", *selected],
            cwd=there,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"the limit of {timeout} s"
    if done.returncode == 0:
        return ""
    words = ("FAILED", "ERROR")
    first = [s for s in done.stdout.splitlines() if s.startswith(words)]
    if first:
        return first[0].split(" - ")[0].split()[1]
    return done.stdout[-200:] or f"no tests: {done.stderr[-200:]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=80, help="of mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=PACKAGE, help="files that begin so")
    parser.add_argument("--jobs", type=int, default=2, help="mutants side by side")
    parser.add_argument("--timeout", type=int, default=600, help="seconds of a run")
    parser.add_argument("--list", action="store_true", help="run no tests")
    parser.add_argument(
        "--near", action="store_true", help="the nearest tests only: a first look"
    )
    args = parser.parse_args()
    mutants = choose(args.only, args.number, args.seed)
    if args.list:
        for mutant in mutants:
            print(mutant, *nearest_tests(mutant.path), f"\n{mutant.diff}\n")
        return
    failing = "" if args.near else unchanged(3 * args.timeout)
    if failing:
        sys.exit(f"Without any mutant there fails {failing}: that comes first.")
    began, survived = time.monotonic(), []
    with ThreadPoolExecutor(args.jobs) as pool:
        outcomes = pool.map(lambda m: fate(m, args.timeout, args.near), mutants)
        for mutant, outcome in zip(mutants, outcomes, strict=True):
            print(f"{mutant}: {outcome}\n{mutant.diff}\n", flush=True)
            survived += [mutant] if outcome == "SURVIVED" else []
    killed = len(mutants) - len(survived)
    minutes = (time.monotonic() - began) / 60
    rate = 100 * killed / max(1, len(mutants))
    print(f"killed {killed} of {len(mutants)} ({rate:.0f} %) in {minutes:.0f} min")
    print("survived:", *survived, sep="\n  ")


if __name__ == "__main__":
    main()
