"""How long does the import take, beyond that of torch and scikit-learn?"""

import statistics

from harness import options, run_python, save, show

CODE = """
import time
import torch, sklearn.gaussian_process
began = time.perf_counter()
import sklearn_torchgp
print(time.perf_counter() - began)
"""


def main():
    args = options(__doc__)
    seconds = [float(run_python(CODE)) for _ in range(3 if args.quick else 9)]
    row = {
        "case": {"above": "torch, scikit-learn"},
        "contender": "sklearn_torchgp",
        "seconds": statistics.median(seconds),
        "spread": [min(seconds), max(seconds)],
    }
    show(row)
    save("import", [row], args)


if __name__ == "__main__":
    main()
