"""The README's code runs as it stands, and the files that it names are there."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.gaussian_process.kernels import RBF

ROOT = Path(__file__).parent.parent


def python_blocks(document):
    """The source of every ``code-block:: python``, with the line it begins at."""
    lines = (ROOT / document).read_text().splitlines()
    for start, line in enumerate(lines):
        if line.strip() != ".. code-block:: python":
            continue
        block = []
        for following in lines[start + 1 :]:
            if following.strip() and not following.startswith("    "):
                break
            block.append(following[4:])
        yield start + 2, "\n".join(block)


def given():
    """What the README's code takes for granted: data, and a kernel of the reader's."""

    class Tanimoto(RBF):
        scale = 1.0

        def __call__(self, X, Y=None, eval_gradient=False):
            raise NotImplementedError("torch has the function")

    rng = np.random.RandomState(0)
    X = rng.uniform(0.1, 2, (20, 2))
    y = np.sin(3 * X).sum(axis=1) + 0.1 * rng.randn(20)
    columns = {"hour": 24 * X[:, 0], "colour": np.arange(20) % 3, "x": y, "z": X[:, 1]}
    return {
        "X": X,
        "table": pd.DataFrame(columns),
        "y": y,
        "labels": y > 0.5,
        "X_new": X[:5] + 0.1,
        "error_bar": rng.uniform(0.1, 0.2, 20),
        "Tanimoto": Tanimoto,
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_readmes_code_runs(tmp_path, monkeypatch):
    """Every block, in order, in one namespace, outside the repository."""
    monkeypatch.chdir(tmp_path)
    names = given()
    blocks = list(python_blocks("README.rst"))
    assert len(blocks) >= 4
    for line, source in blocks:
        exec(compile("\n" * line + source, "README.rst", "exec"), names)
    assert names["mean"].shape == names["std"].shape == (5,)
    np.testing.assert_allclose(names["p"].sum(axis=1), 1)


@pytest.mark.parametrize(
    "name",
    [
        *("README.rst", "CHANGES.rst", "CONTRIBUTING.rst"),
        *(f"benchmarks/{name}.rst" for name in ("README", "SCALE", "PROFILE")),
    ],
)
def test_documents_are_well_formed(name):
    core = pytest.importorskip("docutils.core")
    if not (ROOT / name).exists():
        pytest.skip("it is not here")
    strict = {"halt_level": 2, "report_level": 5}
    core.publish_string((ROOT / name).read_text(), settings_overrides=strict)


@pytest.mark.parametrize("name", ["README.rst", "benchmarks/README.rst"])
def test_every_file_that_is_named_is_there(name):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not here")
    text = (ROOT / name).read_text()
    named = re.findall(r"(?:benchmarks|docs|tests|examples)/[\w/]+\.\w+", text)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def first_screen():
    """The module that draws the picture."""
    script = ROOT / "docs" / "first_screen.py"
    spec = spec_from_file_location("first_screen", script)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_code_above_it(tmp_path):
    """It carries the code that drew it; ``python docs/first_screen.py`` draws anew."""
    drawing, (_, code) = first_screen(), next(python_blocks("README.rst"))
    assert drawing.first_code() == code.strip()
    names = drawing.draw(tmp_path / "again.png")
    assert names["mean"].shape == (5,)
    with Image.open(drawing.PICTURE) as kept, Image.open(tmp_path / "again.png") as new:
        assert kept.text == new.text == {"Source": code.strip()}
        pixels = [np.asarray(picture.convert("RGB"), float) for picture in (kept, new)]
    assert pixels[0].shape == pixels[1].shape
    # Fonts and versions of matplotlib move some; another figure moves far more.
    assert np.abs(pixels[0] - pixels[1]).mean() < 4
    assert drawing.PICTURE.stat().st_size < 60_000


def test_the_readme_shows_the_picture_below_the_code():
    text = (ROOT / "README.rst").read_text()
    (uri,) = re.findall(r"\n\n\.\. image:: (\S+)\n   :alt: \w+", text)
    assert ROOT / uri == first_screen().PICTURE
    last_line = next(python_blocks("README.rst"))[1].strip().splitlines()[-1]
    before, after = text.split(f"    {last_line}\n\n", 1)
    assert after.startswith(".. image:: ")
    assert before.count("code-block") == 1
