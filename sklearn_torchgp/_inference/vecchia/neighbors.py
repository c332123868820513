"""Which rows a row is conditioned on: those that tell most of it at one theta.

Where the kernel falls with one distance these are the nearest rows in x / length_scale,
found by k-d trees: irrelevant features shrink, so that trees work in many dimensions,
too (15,642 rows, d = 17: 0.2 to 0.4 s, brute force 0.8 to 1.1 s). Where it has several
such parts each of them proposes its nearest rows, and those with the largest
|k(x, z)| / sqrt(k(x, x) k(z, z)) are taken; where it has none, all rows are proposed.
"""

from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..._linalg.memory import row_blocks

# Growth of the prefix that one tree holds: an earlier row is then among few candidates.
GROWTH = 1.3

# Candidates of each part of a kernel with several, for each row taken.
CANDIDATES = 3

# Rows whose candidates are held at a time.
QUERIES = 4096


class Search:
    """Nearness among the training rows of a covariance, and of further rows to them.

    Parameters
    ----------
    at : CovarianceAt
    """

    def __init__(self, at):
        self.at, self.points = at, at.points
        self.coordinates = at.coordinates()

    def earlier(self, order, positions, k):
        """The k rows before each of some positions of the order that tell most.

        Parameters
        ----------
        order : ndarray (n,)
            Training rows.
        positions : ndarray (m,)
            Ascending, none below k.

        Returns
        -------
        ndarray of int32 (m, k)
            Training rows.
        """
        if self.at.falls_with_distance:
            found = _earlier(self.coordinates[0][order], positions, k)
            return order[found].astype(np.int32)
        # Of the first rows all that are before them are candidates.
        many = self._n_proposed(k) if self.coordinates else len(order)
        few = np.searchsorted(positions, many)
        first, rest = positions[:few], positions[few:]
        found = self._of_all(order[first], k, order[:many], first)
        found = order[found].astype(np.int32)
        if not len(rest):
            return found
        proposed = [order[_earlier(X[order], rest, many)] for X in self.coordinates]
        more = self._best(self.points, order[rest], proposed, k)
        return np.concatenate([found, more])

    def others(self, rows, k):
        """The k training rows that tell most of each of some of them, itself left out.

        Returns
        -------
        ndarray of int32 (len(rows), k)
        """
        if not self.coordinates:
            return self._of_all(rows, k, forbidden=rows).astype(np.int32)
        proposed, many = [], min(self._n_proposed(k), self.points.n - 1)
        for X, tree in zip(self.coordinates, self._trees, strict=True):
            found = np.empty((len(rows), many), dtype=np.int32)
            for chunk in _chunks(len(rows)):
                near = _query(tree, X[rows[chunk]], many + 1)
                own = near == rows[chunk, None]
                own[~own.any(axis=1), -1] = True  # behind more copies than were asked
                found[chunk] = near[~own].reshape(len(near), many)
            proposed.append(found)
        return self._best(self.points, rows, proposed, k)

    def nearest(self, Z, k):
        """The k training rows that tell most of each row of Z.

        Parameters
        ----------
        Z : Points

        Returns
        -------
        ndarray of int32 (m, k)
        """
        rows = np.arange(Z.n)
        if k == self.points.n:
            return np.broadcast_to(np.arange(k, dtype=np.int32), (Z.n, k))
        if not self.coordinates:
            return self._of_all(rows, k, points=Z).astype(np.int32)
        proposed, many = [], min(self._n_proposed(k), self.points.n)
        for X, tree in zip(self.at.coordinates(Z), self._trees, strict=True):
            found = np.empty((Z.n, many), dtype=np.int32)
            for chunk in _chunks(Z.n):
                found[chunk] = _query(tree, X[chunk], many)
            proposed.append(found)
        return self._best(Z, rows, proposed, k)

    @cached_property
    def _trees(self):
        return [_tree(X) for X in self.coordinates]

    @cached_property
    def _scale(self):
        """1 / sqrt(k(x, x)) of the training rows: tensor (n,)."""
        return _inverse_root(self.at.diag()[0])

    def _n_proposed(self, k):
        """How many rows each part of the kernel proposes where k are taken."""
        return k if self.at.falls_with_distance else CANDIDATES * k

    def _best(self, points, rows, proposed, k):
        """Of the rows proposed (lists of (m, k)) those that tell most: (m, k)."""
        if self.at.falls_with_distance:
            return proposed[0]
        candidates = np.sort(np.concatenate(proposed, axis=1), axis=1)
        again = np.zeros(candidates.shape, dtype=bool)
        again[:, 1:] = candidates[:, 1:] == candidates[:, :-1]
        found = np.empty((len(rows), k), dtype=np.int32)
        bytes_per_row = 8 * candidates.shape[1] * (4 + self.points.raw.shape[1])
        for some in row_blocks(len(rows), bytes_per_row, self.points.device):
            own, near = points[rows[some, None]], candidates[some]
            told = self.at.cross(own, self.points[near])[0][:, 0].abs()
            told = told * self._scale[torch.from_numpy(near).long()]
            told = told.masked_fill(torch.from_numpy(again[some]).to(told.device), -1.0)
            best = told.topk(k, dim=1).indices.cpu().numpy()
            found[some] = np.take_along_axis(near, best, axis=1)
        return found

    def _of_all(self, rows, k, order=None, before=None, forbidden=None, points=None):
        """The same among all rows: places in the order (m, k)."""
        points = self.points if points is None else points
        order = np.arange(self.points.n) if order is None else order
        pool, scale = self.points[order], self._scale[torch.from_numpy(order)]
        found = np.empty((len(rows), k), dtype=np.int64)
        bytes_per_row = 4 * pool.n * pool.itemsize
        for some in row_blocks(len(rows), bytes_per_row, pool.device):
            told = self.at.cross(points[rows[some]], pool)[0].abs() * scale
            if before is not None:
                late = np.arange(pool.n) >= before[some, None]
                told.masked_fill_(torch.from_numpy(late).to(told.device), -1.0)
            if forbidden is not None:
                own = torch.from_numpy(forbidden[some, None]).to(told.device)
                told.scatter_(1, own, -1.0)
            found[some] = told.topk(k, dim=1).indices.cpu().numpy()
        return found


def _inverse_root(variance):
    """1 / sqrt(v); a row without variance is told by none."""
    return torch.where(variance > 0, variance, torch.inf).rsqrt()


def _earlier(X, positions, k):
    """Positions (m, k) of the nearest rows before each of some of X (n, d)."""
    found = np.empty((len(positions), k), dtype=np.int32)
    start = max(k, 1)
    while start < len(X):
        stop = min(len(X), int(GROWTH * start) + 1)
        first, last = np.searchsorted(positions, (start, stop))
        if last > first:
            tree = _tree(X[:stop])
            for i in range(first, last, QUERIES):
                some = slice(i, min(i + QUERIES, last))
                found[some] = _earlier_in(tree, X, positions[some], k)
        start = stop
    return found


def _earlier_in(tree, X, positions, k):
    """The same from one tree: a few more than k candidates, the later ones dropped."""
    found = np.empty((len(positions), k), dtype=np.int32)
    waiting, ask = np.arange(len(positions)), int(GROWTH * k) + 12
    while len(waiting):
        own = positions[waiting]
        ask = min(ask, tree.n)
        near = _query(tree, X[own], ask)
        earlier = near < own[:, None]
        count = earlier.cumsum(axis=1)
        enough = count[:, -1] >= k
        chosen = earlier & (count <= k) & enough[:, None]
        found[waiting[enough]] = near[chosen].reshape(-1, k)
        waiting, ask = waiting[~enough], 2 * ask
    return found


def _tree(X):
    # Unbalanced: as fast to ask, and built in half the time.
    return cKDTree(X, balanced_tree=False, compact_nodes=False)


def _query(tree, X, k):
    """The places of the k nearest rows, nearest first: (m, k)."""
    return tree.query(X, k=k, workers=torch.get_num_threads())[1].reshape(len(X), k)


def _chunks(n_rows):
    return [slice(i, min(i + QUERIES, n_rows)) for i in range(0, n_rows, QUERIES)]
