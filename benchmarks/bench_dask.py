"""What does a fit to Dask arrays send, and how long does it take?

Two processes of a LocalCluster, of one thread each, beside this process on two threads:
wall seconds of a whole fit, in turns, and bytes of one pass over all rows: of what each
worker answers (the least is a gradient, the most a value) and of what it is asked.
"""

import pickle
import time

import dask.array as da
import numpy as np
import torch
from distributed import Client, LocalCluster
from harness import options, problem, save, show
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_torchgp import TorchGPRegressor
from sklearn_torchgp._data.spread import Call, Shards

D, M, NEIGHBORS, CHUNK = 4, 256, 32, 10_000
FEW = 1000  # the fit on rows drawn is the caller's: short, here
THREADS = 2


class Traffic:
    """Counts what workers answer and are asked, while it is entered."""

    def __enter__(self):
        self.answers, self.questions = [], []
        self._gather, self._submit = Shards.gather, Shards.submit

        def gather(shards, futures):
            found = self._gather(shards, futures)
            self.answers.append(max(len(pickle.dumps(arrays(one))) for one in found))
            return found

        def submit(shards, address, function, *args):
            if isinstance(args[0], Call):
                self.questions.append(len(pickle.dumps(args[0])))
            return self._submit(shards, address, function, *args)

        Shards.gather, Shards.submit = gather, submit
        return self

    def __exit__(self, *error):
        Shards.gather, Shards.submit = self._gather, self._submit


def arrays(parts):
    """Numbers of an answer, without the wrapping of tensors."""
    found = []
    for one in parts:
        values = [one] if isinstance(one, np.ndarray) else vars(one).values()
        found += [np.asarray(value) for value in values]
    return found


def models():
    """The fits that are timed, and the rows that they get."""
    kernel = 1.0 * RBF(np.ones(D)) + WhiteKernel(0.1)
    shared = {"kernel": kernel, "random_state": 0, "alpha": 1e-6, "device": "cpu"}
    shared["optimizer_rows"] = FEW
    yield (
        200_000,
        {"m": M, "asked": (M * M + M) * 8},
        TorchGPRegressor(method="inducing", inducing_points=M, **shared),
    )
    yield (
        50_000,
        {"n_neighbors": NEIGHBORS, "asked": (kernel.n_dims + 1) * 8},
        TorchGPRegressor(method="vecchia", n_neighbors=NEIGHBORS, **shared),
    )


def seconds(model, *given):
    began = time.perf_counter()
    model.fit(*given)
    return time.perf_counter() - began


def compare(client, model, X, y, rounds):
    """Seconds of all rounds, here and there, the last fits and the traffic."""
    chunked = [da.from_array(one, chunks=(CHUNK, -1)[: one.ndim]) for one in (X, y)]
    chunked = client.persist(chunked)
    times = {"threads": [], "processes": []}
    for _ in range(rounds):
        here, there = clone(model), clone(model)
        times["threads"].append(seconds(here, X, y))
        with Traffic() as traffic:
            times["processes"].append(seconds(there, *chunked))
    return times, here, there, traffic


def main():
    args = options(__doc__)
    torch.set_num_threads(THREADS)
    rows, rounds = [], 1 if args.quick else 2
    warm = 3 * FEW  # loads every library
    cluster = LocalCluster(
        n_workers=THREADS, threads_per_worker=1, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        for n, facts, model in models():
            n = n // 20 if args.quick else n
            X, y = problem(n, D)
            y = y + 0.1 * np.random.RandomState(1).standard_normal(n)
            few = clone(model).set_params(optimizer=None)
            compare(client, few, X[:warm], y[:warm], 1)
            times, here, there, traffic = compare(client, model, X, y, rounds)
            values = [one.log_marginal_likelihood_value_ for one in (here, there)]
            quality = {
                "least_bytes_answered": min(traffic.answers),
                "most_bytes_answered": max(traffic.answers),
                "bytes_asked_of_each": max(traffic.questions),
                "n_passes": len(traffic.answers),
                "theta_differs": np.abs(here.kernel_.theta - there.kernel_.theta).max(),
                "evidence_differs": abs(values[0] / values[1] - 1),
            }
            for name, spent in times.items():
                row = {
                    "case": {"n": n, "d": D, "method": model.method, **facts},
                    "contender": name,
                    "seconds": min(spent),
                    "all_seconds": spent,
                    "quality": quality,
                }
                show(row)
                rows.append(row)
    save("dask", rows, args)


if __name__ == "__main__":
    main()
