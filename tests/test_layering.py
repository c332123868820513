"""Imports point one way: estimators -> base -> numerics; numerics stay alone."""

import ast
from pathlib import Path

import pytest

import sklearn_torchgp

ROOT = Path(sklearn_torchgp.__file__).parent
FILES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))
ESTIMATORS = {"_regressor", "_classifier"}


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


SHELL = ["_base", "_optimize", "_tensors"]
FORBIDDEN = {  # folder -> names of the package that its files must not import
    "_linalg": ["_inference", "_likelihoods", "_covariance", *SHELL],
    "_inference": ["_likelihoods", "_covariance", *SHELL],
    "_likelihoods": ["_inference", "_linalg", "_covariance", *SHELL],
    "_covariance": ["_inference", "_likelihoods", "_base", "_optimize"],
}
NUMERICS = {"_linalg", "_inference", "_likelihoods"}


def forbidden(path):
    """Prefixes that this file must not import."""
    top = path.parts[0].removesuffix(".py")
    if top in ESTIMATORS | {"__init__"}:
        return []
    names = sorted(ESTIMATORS) + FORBIDDEN.get(top, [])
    own = [f"sklearn_torchgp.{name}" for name in names]
    return [*own, "sklearn"] if top in NUMERICS else own


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path):
    for name in imported(path):
        for prefix in forbidden(path):
            assert not f"{name}.".startswith(f"{prefix}."), f"{path} imports {name}"


def test_the_walk_sees_imports():
    names = set(imported(Path("_regressor.py")))
    assert {"torch", "sklearn_torchgp._base", "numpy"} <= names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_matplotlib_is_never_imported_with_the_package(path):
    if path.parts[0] == "inspection":
        return
    assert not any(name.split(".")[0] == "matplotlib" for name in imported(path))
