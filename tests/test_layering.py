"""Imports point one way: estimators -> what only one says -> model -> numerics.

And public methods of a regressor know no more of it than its contract.
"""

import ast
from pathlib import Path

import pytest

import sklearn_torchgp

ROOT = Path(sklearn_torchgp.__file__).parent
FILES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))

# Room -> rooms of the package that its files may import; exceptions are for all.
NUMERICS = {
    "_linalg": set(),
    "_likelihoods": set(),
    "_inference": {"_linalg"},
}
DATA = {"_data", "_linalg"}
ALLOWED = {
    **NUMERICS,
    "exceptions": set(),
    "priors": set(),
    "_data": {"_linalg"},
    "_covariance": DATA,
    "kernels": {"_covariance", *DATA},
    "_model": {"_inference", "_covariance", "kernels", "priors", *DATA},
    "_regression": {"_covariance", "_likelihoods", "kernels", *DATA},
    "_classification": {"_model", "_covariance", "_likelihoods", *DATA},
    "_regressor": {"_regression", "_model", *DATA},
    "_classifier": {"_classification", "_model", *DATA},
    "__init__": {"_regressor", "_classifier", "_covariance"},
    "metrics": {"_data"},
    "inspection": set(),
}

# What the public methods of a regressor may use of it: these, and fitted attributes.
CONTRACT = {"_validate_rows", "_model", "_posterior", "_targets", "_shown"}
MIXINS = {
    "_regression/predictions.py": "Predictions",
    "_regression/outputs.py": "Outputs",
    "_regression/leave_one_out.py": "LeaveOneOut",
}


def imported(path):
    """Dotted names that a file imports; the package's own as `sklearn_torchgp.x`."""
    package = ["sklearn_torchgp", *path.parts[:-1]]
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms(path):
    """Rooms of the package that a file imports."""
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "sklearn_torchgp" and len(parts) > 1:
            yield parts[1]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path):
    room = path.parts[0].removesuffix(".py")
    foreign = set(rooms(path)) - {room, "exceptions"}
    assert foreign <= ALLOWED[room], f"{path} imports from a room it may not"


@pytest.mark.parametrize(("path", "name"), MIXINS.items())
def test_public_methods_use_the_contract_of_the_estimator_only(path, name):
    tree = ast.parse((ROOT / path).read_text())
    (mixin,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    methods = [node for node in mixin.body if isinstance(node, ast.FunctionDef)]
    assert methods
    assert not [method.name for method in methods if method.name.startswith("_")]
    used = {
        node.attr
        for node in ast.walk(mixin)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    fitted = {name for name in used if name.endswith("_") and name[0] != "_"}
    assert used - fitted <= CONTRACT


@pytest.mark.parametrize("path", FILES, ids=str)
def test_dask_is_imported_in_one_file(path):
    """And that file within functions only, by whom a Dask array came."""
    names = {name.split(".")[0] for name in imported(path)}
    assert path == Path("_data/dask.py") or not names & {"dask", "distributed"}
    top = ast.parse((ROOT / path).read_text()).body
    modules = [node.module for node in top if isinstance(node, ast.ImportFrom)]
    assert not [name for name in modules if name and name.split(".")[-1] == "dask"]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_numerics_know_no_scikit_learn(path):
    if path.parts[0] in NUMERICS:
        assert "sklearn" not in {name.split(".")[0] for name in imported(path)}


def test_the_walk_sees_imports():
    assert {"torch", "numpy"} <= set(imported(Path("_regressor.py")))
    assert {"_model", "_data"} <= set(rooms(Path("_regressor.py")))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_matplotlib_is_never_imported_with_the_package(path):
    if path.parts[0] == "inspection":
        return
    assert not any(name.split(".")[0] == "matplotlib" for name in imported(path))
