"""Two result files -> one table: ``python benchmarks/compare.py old.json new.json``.

Only ratios tell across files: the machine may have been slower when one was made.
"""

import argparse
import json
from pathlib import Path


def table(old, new):
    """reStructuredText rows: case, contender, both values, new / old, quality."""
    lines = [
        "case | contender | old ms | new ms | new / old | old ratio | new ratio",
        "--- | --- | --- | --- | --- | --- | ---",
    ]
    before = {key(row): row for row in old["rows"]}
    after = {key(row): row for row in new["rows"]}
    for name in dict.fromkeys([*before, *after]):
        first, second = before.get(name, {}), after.get(name, {})
        a, b = first.get("seconds"), second.get("seconds")
        quotient = f"{b / a:.2f}" if a and b else "-"
        cells = [name[0], name[1], milliseconds(a), milliseconds(b), quotient]
        cells += [number(row.get("ratio")) for row in (first, second)]
        lines.append(" | ".join(cells))
        lines += quality(first, second)
    return "\n".join(lines)


def key(row):
    case = " ".join(f"{name}={value}" for name, value in row["case"].items())
    return case, row["contender"]


def milliseconds(seconds):
    return "-" if seconds is None else f"{1e3 * seconds:.3f}"


def number(value):
    return "-" if value is None else f"{value:.2f}"


def quality(first, second):
    """Lines for the measures of quality that moved by more than a thousandth."""
    a, b = first.get("quality", {}), second.get("quality", {})
    for name in a.keys() & b.keys():
        if abs(a[name] - b[name]) > 1e-3 * max(abs(a[name]), 1e-6):
            yield f" | {name} | {a[name]:.6g} | {b[name]:.6g} | | | "


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    args = parser.parse_args()
    old, new = (json.loads(path.read_text()) for path in (args.old, args.new))
    for label, document in (("old", old), ("new", new)):
        machine = document["machine"]
        print(f"{label}: {document['command']}, {document['date']}, ", end="")
        print(f"{machine['processor']}, {machine['cores']} cores")
    print(table(old, new))


if __name__ == "__main__":
    main()
