"""Vecchia's approximation: the method of the contract."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..._linalg.memory import Workspace
from ...exceptions import NotPositiveDefiniteError
from ..columns import columns_of, log_density, weighted_columns
from ..contract import Inference
from ..exact.method import JITTER_LADDER
from .neighbors import Search
from .posterior import VecchiaPosterior
from .terms import Blocks, terms


@dataclass(frozen=True)
class Vecchia:
    """Each row given its nearest earlier rows, in a random order (Vecchia 1988).

    With n_neighbors = n - 1 it is exact inference.

    Attributes
    ----------
    n_neighbors : int, default=32
        Rows that a row is conditioned on in the evidence.
    n_neighbors_predict : int, default=128
        The same for new rows, and for rows left out.
    n_terms : int or None, default=None
        How many terms stand for all of them, drawn at random. None: all.
    leaving_out : bool, default=False
        Whether the criterion is not the evidence but the sum of the log densities of
        left-out observations (GPML 5.10), a row's neighbours being among all others.
    ladder : bool, default=False
        As in `Exact`.
    seed : int, default=0
        Of the order, and of the terms drawn.
    """

    n_neighbors: int = 32
    n_neighbors_predict: int = 128
    n_terms: int | None = None
    leaving_out: bool = False
    ladder: bool = False
    seed: int = 0

    def infer(self, covariance, likelihood, theta=None, *, start=None, work=None):
        """As the contract says; `start` are the `Blocks` of an earlier evaluation."""
        if self.leaving_out and likelihood.basis is not None:
            raise ValueError(
                "method='vecchia' has no density of left-out rows under "
                "mean='constant' or 'linear', whose coefficients all rows share. Use "
                "objective='lml', a regressor as 'mean', or method='exact'."
            )
        theta = theta and theta["kernel"]
        at = covariance.at(theta)
        if start is None:
            start = self.blocks(at)
        steps = (0.0,)
        if self.ladder and likelihood.has_noise:
            steps += JITTER_LADDER[likelihood.y.dtype]
        if work is None:
            work = Workspace(at.points.dtype, at.points.device)
        problem = covariance, at, likelihood, start, theta, work
        for step in steps[:-1]:
            with suppress(NotPositiveDefiniteError):
                return self._infer(*problem, step)
        return self._infer(*problem, steps[-1])

    def _infer(self, covariance, at, likelihood, blocks, theta, work, step):
        """`infer` with the fraction `step` of mean(diag K) added to the noise."""
        scale = (at.diag()[0] + at.nugget()[0]).mean().item()
        added = step * scale
        observed = self.helped(likelihood, added)
        problem = covariance, likelihood, theta, self, added, work.share(blocks)
        at_once = theta is not None and observed.basis is None
        found = work.sum(sums_of_terms, *problem, at_once)
        sums, of_terms = found[::2], found[1::2]
        parts = [
            self._beside_terms(at, one, blocks, of)
            for one, of in zip(observed.factors(), sums, strict=True)
        ]

        def gradient():
            total = of_terms if at_once else work.sum(slopes_of_terms, *problem, sums)
            return {"kernel": sum(total) + sum(slope() for _, slope in parts)}

        def posterior():
            if self.leaving_out:
                evidence = replace(self, leaving_out=False)
                return evidence.infer(covariance, likelihood).posterior()
            arrays = _kept(blocks, sums, added)
            return VecchiaPosterior(self, covariance, likelihood, arrays)

        return Inference(
            sum(value for value, _ in parts),
            gradient,
            posterior,
            start=blocks,
            jitter=added + observed.jitter * scale,
            needed_help=step > 0,
        )

    def _beside_terms(self, at, observed, blocks, sums):
        """The value of one factor, and what its gradient has beside that of terms."""
        n = observed.y.shape[0]
        own, pull_own = self._own_noise(at, observed)
        copies, slope = (0.0, None) if self.leaving_out else observed.copies(own)
        if self.leaving_out and observed.weight is not None:
            rows = torch.as_tensor(blocks.sparse[:, -1]).long()
            n = blocks.scale * observed.weight.cpu()[rows].sum().item()
        value = log_density(sums, observed, n) + copies
        return value, lambda: 0.0 if slope is None else pull_own(slope)

    def _own_noise(self, at, observed):
        """What each copy of a row has for itself, and its pullback: see `copies`."""
        if observed.weight is None:
            return 0.0, None
        nugget, pull_nugget = at.nugget()
        diagonal, pull_diagonal = at.diag()

        def pullback(slope):
            total = pull_nugget(slope)
            if observed.jitter:
                both = observed.jitter * slope
                total = total + pull_nugget(both) + pull_diagonal(both)
            return total

        return observed.own_noise(nugget, diagonal + nugget), pullback

    def blocks(self, at):
        """The Blocks of all terms, or of those drawn, nearest at this theta."""
        n, rng = at.points.n, np.random.RandomState(self.seed)
        order = rng.permutation(n)
        if self.leaving_out:
            k, few = min(self.n_neighbors_predict, n - 1), 0
        else:
            k = min(self.n_neighbors, n - 1)
            few = k + 1
        positions = np.arange(few, n)
        if self.n_terms is not None and self.n_terms < len(positions):
            positions = np.sort(rng.choice(positions, self.n_terms, replace=False))
        scale = (n - few) / len(positions) if len(positions) else 1.0
        search = Search(at)
        if self.leaving_out:
            near = search.others(order[positions], k)
        else:
            near = search.earlier(order, positions, k)
        return joined(order[:few], near, order[positions], scale)

    def helped(self, likelihood, added=0.0):
        """The observations with the noise, and the jitter, that blocks are to have."""
        jitter = likelihood.jitter
        if jitter:  # a block's round-off is that of its rows, not of all
            eps = torch.finfo(likelihood.y.dtype).eps
            jitter = eps * (min(self.n_neighbors + 1, len(likelihood.y)) + 50)
        return replace(likelihood, jitter=jitter, noise=likelihood.noise + added)

    def posterior(self, covariance, likelihood, arrays):
        return VecchiaPosterior(self, covariance, likelihood, arrays)

    def start(self, covariance, arrays):
        """The Blocks that fitted attributes say: `order_` and `neighbors_`.

        For rows left out those at the kernel's own theta, whatever theta comes.
        """
        if self.leaving_out:
            return self.blocks(covariance.at())
        order = arrays["order_"].cpu().long().numpy()
        near = arrays["neighbors_"].cpu().int().numpy()
        few = min(near.shape[1] + 1, len(order))
        return joined(order[:few], near[few:], order[few:])

    def extend(self, posterior, covariance, likelihood):
        """The evidence and posterior with more rows, at the posterior's theta.

        The rows of `posterior` are the first ones of `covariance` and `likelihood`. New
        rows join the end of the order; the terms of the old ones stay.

        Raises
        ------
        NotPositiveDefiniteError
            Also where the old terms have another number of neighbours.
        """
        n_old, n = posterior.covariance.points.n, covariance.points.n
        k, at = min(self.n_neighbors, n - 1), covariance.at()
        old = self.start(posterior.covariance, posterior.arrays)
        order = np.concatenate([old.dense, old.sparse[:, -1], np.arange(n_old, n)])
        if len(old.sparse) == 0:  # one dense block, which grows
            old, first = None, min(k + 1, n)
        elif old.sparse.shape[1] == k + 1:
            first = n_old
        else:
            raise NotPositiveDefiniteError("the old terms have other neighbours")
        near = Search(at).earlier(order, np.arange(first, n), k)
        blocks = new = joined(order[:first] if old is None else (), near, order[first:])
        if old is not None:
            blocks = Blocks(old.dense, np.concatenate([old.sparse, new.sparse]))
        added = posterior.added
        total, grown = 0.0, []
        for i, one in enumerate(self.helped(likelihood, added).factors()):
            sums, _ = terms(at, one, new, columns_of(one))
            if old is not None:
                sums = sums + posterior.sums[i]
            copies, _ = one.copies(self._own_noise(at, one)[0])
            total += log_density(sums, one, n) + copies
            grown.append(sums)

        def kept():
            arrays = _kept(blocks, grown, added)
            return VecchiaPosterior(self, covariance, likelihood, arrays)

        return Inference(total, None, kept)


def sums_of_terms(covariance, likelihood, theta, method, added, blocks, slopes, work):
    """Of each factor the Sums of these blocks and, with `slopes`, their gradient.

    In one list, which adds up over parts of the blocks; without slopes gradients are
    empty.
    """
    at, found = covariance.at(theta), []
    options = {"leaving_out": method.leaving_out}
    for one in method.helped(likelihood, added).factors():
        columns = columns_of(one)
        weights = torch.ones_like(columns[0]) if slopes else None
        sums, gradient = terms(at, one, blocks, columns, weights, **options)
        found += [sums, np.zeros(0) if gradient is None else gradient]
    return found


def slopes_of_terms(covariance, likelihood, theta, method, added, blocks, sums, work):
    """Of each factor the gradient of these blocks, where the Sums of all are known."""
    at, options = covariance.at(theta), {"leaving_out": method.leaving_out}
    factors = method.helped(likelihood, added).factors()
    return [
        terms(at, one, blocks, *weighted_columns(one, of), **options)[1]
        for one, of in zip(factors, sums, strict=True)
    ]


def _kept(blocks, sums, added):
    """What a posterior keeps, as named tensors."""
    return {
        **_order(blocks),
        "_vecchia_sums": torch.stack([one.S for one in sums]),
        "_vecchia_log_det": torch.tensor(
            [one.log_det for one in sums], dtype=torch.float64
        ),
        "_vecchia_added": torch.tensor([added], dtype=torch.float64),
    }


def joined(dense, near, own, scale=1.0):
    """Blocks from neighbours (m, k) and the rows themselves (m,)."""
    sparse = np.empty((len(own), near.shape[1] + 1), dtype=np.int32)
    sparse[:, :-1], sparse[:, -1] = near, own
    return Blocks(np.asarray(dense, dtype=np.int32), sparse, scale)


def _order(blocks):
    """The blocks as fitted attributes: `order_` (n,) and `neighbors_` (n, k)."""
    few, k = len(blocks.dense), blocks.sparse.shape[1] - 1
    order = np.concatenate([blocks.dense, blocks.sparse[:, -1]])
    near = np.full((len(order), k), -1, dtype=np.int32)
    for i in range(few):
        near[i, : min(i, k)] = blocks.dense[:i]
    near[few:] = blocks.sparse[:, :-1]
    return {"order_": torch.from_numpy(order), "neighbors_": torch.from_numpy(near)}
