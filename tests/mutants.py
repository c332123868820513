"""Mutation test: do the tests notice when a line of the package is wrong?

    python tests/mutants.py                  # 80 random mutants, two at a time
    python tests/mutants.py --list           # which ones, without running a test
    python tests/mutants.py --only sklearn_torchgp/_linalg --number 10
    python tests/mutants.py --only sklearn_torchgp/metrics --tests tests/test_metrics.py

Each mutant is one small change of the syntax tree (a comparison, an operator, a number,
a condition, an argument or a statement) in a copy of the repository. First the whole
suite, or what `--tests` names of it, runs once, unchanged, and says which tests execute
which lines; then each mutant meets the tests that execute its statement, the most
particular ones first: no other test could tell. It is killed by the first that fails,
or by taking far too long.
Docstrings, messages of errors and warnings, and declarations are left alone. Not part
of the suite.
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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sklearn_torchgp"
NOT_COPIED = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis")

# Tests that run before all others of a mutant: a short run, which kills most.
FIRST = 40

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
    """One changed file: the lines of a statement, the mutated source, what changed."""

    path: str
    lines: range
    source: str
    diff: str

    def __str__(self):
        return f"{self.path}:{self.lines.start}"


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
        warns = _name(getattr(node, "func", None)) == "warn"
        if isinstance(node, SKIPPED) or warns or getattr(node, "arg", None) == "strict":
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
    lines = _lines_of_statement(tree, old)
    new = change(old)
    if isinstance(new, ast.AST) and not isinstance(new, ast.keyword):
        tree = _Replace(old, new).visit(tree)
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
        compile(source, name, "exec")
    except (SyntaxError, ValueError, AttributeError):
        return None
    changed = difflib.unified_diff(
        before.splitlines(), source.splitlines(), lineterm="", n=0
    )
    diff = "\n".join(line for line in changed if line[:3] not in ("---", "+++"))
    return Mutant(name, lines, source, diff) if diff else None


def _lines_of_statement(tree, node):
    """Lines of the smallest statement around a node; of a compound one, its head."""
    around = [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.stmt) and any(sub is node for sub in ast.walk(one))
    ]
    own = min(around, key=lambda one: one.end_lineno - one.lineno)
    body = getattr(own, "body", None)
    last = body[0].lineno - 1 if body else own.end_lineno
    return range(own.lineno, max(own.lineno, last) + 1)


def choose(only, number, seed):
    """A random sample, the same for the same seed, of all mutants under `only`."""
    files, only = sorted((ROOT / PACKAGE).rglob("*.py")), tuple(only)
    files = [f for f in files if f.relative_to(ROOT).as_posix().startswith(only)]
    every = [(f, site) for f in files for site in sites(ast.parse(f.read_text()))]
    random.Random(seed).shuffle(every)
    made = (mutant_of(*one) for one in every)
    found = list(itertools.islice(filter(None, made), number))
    return sorted(found, key=lambda m: (m.path, m.lines.start, m.diff))


class Executed:
    """Which tests execute which lines, by a run of the suite under coverage.

    Parameters
    ----------
    data : coverage.CoverageData
        With the test as context of each line.
    """

    def __init__(self, data):
        self.lines = {}  # path -> {line: names of tests}
        self.reach = Counter()  # lines that a test executes
        for file in data.measured_files():
            path = f"{PACKAGE}/{file.split(f'/{PACKAGE}/')[-1]}"
            found = data.contexts_by_lineno(file)
            self.lines[path] = {
                line: {name.split("|")[0] for name in names if name}
                for line, names in found.items()
            }
            for names in self.lines[path].values():
                self.reach.update(names)

    def tests(self, mutant):
        """Those of a mutant; of a line that importing executes, all of its file."""
        lines = self.lines.get(mutant.path, {})
        own = [lines[line] for line in mutant.lines if lines.get(line)]
        found = set().union(*(own or lines.values()))
        return sorted(found, key=lambda name: (self.reach[name], name))


@contextmanager
def copied():
    """A copy of the repository."""
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copytree(ROOT, Path(folder) / "copy", ignore=NOT_COPIED)


def executed(kept, tests, timeout):
    """The tests without any mutant: they must pass. The data go to the file `kept`."""
    if not kept.exists():
        settings = "[run]\nsource_pkgs = sklearn_torchgp\n"
        with copied() as there:
            (there / "contexts.cfg").write_text(settings)
            arguments = ["-n", "2", "-m", "not clients", "--cov", "--cov-context=test"]
            arguments += ["--cov-config=contexts.cfg", "--cov-report="]
            failing = _pytest(there, [*arguments, *tests], timeout)
            if failing:
                sys.exit(f"Without any mutant there fails {failing}: it comes first.")
            shutil.copy(there / ".coverage", kept)
    data = CoverageData(str(kept))
    data.read()
    return Executed(data)


def fate(mutant, tests, timeout):
    """What killed the mutant, or SURVIVED."""
    if not tests:
        return "SURVIVED: no test executes it"
    with copied() as there:
        (there / mutant.path).write_text(mutant.source)
        for selected in (tests[:FIRST], tests[FIRST:]):
            names = there / "selected.txt"
            names.write_text("\n".join(selected))
            found = _pytest(there, [f"@{names}"], timeout) if selected else ""
            if found:
                return f"killed by {found}"
    return f"SURVIVED {len(tests)} tests"


def _pytest(there, arguments, timeout):
    """The first test that fails, '' if all selected tests pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    settings = {"PYTHONPATH": str(there), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, *arguments],
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
    parser.add_argument("--only", nargs="+", default=[PACKAGE], help="files begin so")
    parser.add_argument("--tests", nargs="+", default=[], help="in place of the suite")
    parser.add_argument("--jobs", type=int, default=2, help="mutants side by side")
    parser.add_argument("--timeout", type=int, default=1200, help="seconds of a run")
    parser.add_argument("--list", action="store_true", help="run no tests")
    parser.add_argument(
        "--executed",
        type=Path,
        default=Path(tempfile.gettempdir()) / f"executed-{os.getpid()}",
        help="a file that keeps which tests execute which lines",
    )
    args = parser.parse_args()
    mutants = choose(args.only, args.number, args.seed)
    if args.list:
        for mutant in mutants:
            print(f"{mutant}\n{mutant.diff}\n")
        return
    by = executed(args.executed, args.tests, 3 * args.timeout)
    began, survived = time.monotonic(), []
    with ThreadPoolExecutor(args.jobs) as pool:
        outcomes = pool.map(lambda m: fate(m, by.tests(m), args.timeout), mutants)
        for mutant, outcome in zip(mutants, outcomes, strict=True):
            print(f"{mutant}: {outcome}\n{mutant.diff}\n", flush=True)
            survived += [mutant] if outcome.startswith("SURVIVED") else []
    killed = len(mutants) - len(survived)
    minutes = (time.monotonic() - began) / 60
    rate = 100 * killed / max(1, len(mutants))
    print(f"killed {killed} of {len(mutants)} ({rate:.0f} %) in {minutes:.0f} min")
    print("survived:", *survived, sep="\n  ")


if __name__ == "__main__":
    main()
