"""How much memory does one log marginal likelihood with its gradient take?

The peak above the fitted model, in n x n float64 matrices.
"""

from contenders import OURS, SKLEARN
from harness import options, peak_memory, save, show

SETUP = """
import sys
sys.path.insert(0, "benchmarks")
import torch
from contenders import regressor
from harness import problem
for n in ({warm}, {n}):  # the first is there to load every library
    X, y = problem(n, {d})
    model = regressor("{name}", {d}, optimizer=None).fit(X, y)
    theta = model.kernel_.theta
    if n == {warm}:
        model.log_marginal_likelihood(theta, eval_gradient=True)
"""
WORK = "value = model.log_marginal_likelihood(theta, eval_gradient=True)"


def main():
    args = options(__doc__)
    n, d = (1500 if args.quick else 3000), 10
    rows = []
    for name in (OURS, SKLEARN):
        peak = peak_memory(SETUP.format(warm=700, n=n, d=d, name=name), WORK)
        row = {
            "case": {"n": n, "d": d},
            "contender": name,
            "quality": {"matrices": peak / (8 * n * n), "mib": peak / 2**20},
        }
        show(row)
        rows.append(row)
    save("memory", rows, args)


if __name__ == "__main__":
    main()
