"""The README's code runs as it stands, and the files that it names are there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
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


@pytest.mark.parametrize("name", ["README.rst", "benchmarks/README.rst"])
def test_every_file_that_is_named_is_there(name):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not here")
    text = (ROOT / name).read_text()
    named = re.findall(r"(?:benchmarks|tests|examples)/[\w/]+\.\w+", text)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
