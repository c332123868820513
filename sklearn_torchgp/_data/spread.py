"""Sums over rows that are on the workers of a cluster.

A function that says something of rows goes to where they are, and sums come back: one
from each worker in one pass. What a worker had is computed anew where that dies.
"""

import warnings
from contextlib import contextmanager
from copy import copy
from dataclasses import fields, is_dataclass, replace

import torch

from .._linalg.memory import Workspace
from .._linalg.threads import one_blas_thread
from .shards import GONE


class Shards:
    """The rows of a Table as a method sees them, bound where they are.

    Parameters
    ----------
    table : Table
    bind : callable Rows -> (Points, likelihood)

    Attributes
    ----------
    n : int
        Number of rows, equal ones of a part perhaps once.
    groups : list of (address, Future of a list of what `bind` answers)
    left : Gone or None
        What a fit leaves of them.
    """

    left = GONE

    def __init__(self, table, bind):
        self.client = table.client
        self.groups = [
            (address, self.submit(address, _bound, bind, *parts))
            for address, parts in table.by_worker()
        ]
        sizes = [self.submit(where, _n_rows, group) for where, group in self.groups]
        self.n = sum(self.client.gather(sizes))

    def submit(self, address, function, *args):
        """The Future of a call on this worker, or another one if that is no more."""
        where = {"workers": [address], "allow_other_workers": True} if address else {}
        return self.client.submit(function, *args, pure=False, **where)

    def gather(self, futures):
        """What the futures came to."""
        return self.client.gather(futures)

    def workspace(self, dtype, device):
        """Where a method computes: see `Workspace`."""
        return Spread(self, dtype, device)


class Copies(Shards):
    """All rows on every worker, for sums over terms that are shared out.

    Parameters
    ----------
    client : Client
    points : Points
    likelihood : object
    """

    left = None

    def __init__(self, client, points, likelihood):
        self.client, self.n = client, points.n
        with _large():  # from here: a worker that comes later can ask for it
            rows = self.submit(None, _same, [(points, likelihood)])
        self.groups = [
            (address, rows)
            for address, threads in sorted(client.nthreads().items())
            for _ in range(threads)
        ]


class Spread(Workspace):
    """The Workspace of a method whose rows are in Shards.

    The rows of the covariance and likelihood it is given stand for those. One sum comes
    from each worker.
    """

    def __init__(self, shards, dtype, device):
        super().__init__(dtype, device)
        self.shards, self.device, self._shared = shards, device, (None, None)

    def sum(self, function, covariance, likelihood, *args):
        return self._total(self._answers(Call(function, covariance, args, False)))

    def each(self, function, covariance, likelihood, *args):
        answers = self._answers(Call(function, covariance, args, True))
        own = [self.shards.submit(where, _own, one) for where, one in answers]
        return OnShards(own), self._total(answers)

    def share(self, terms):
        last, kept = self._shared
        if last is not terms:
            groups, parts = self.shards.groups, terms.parts(len(self.shards.groups))
            with _large():
                kept = OnShards(
                    [
                        self.shards.submit(address, _same, [part])
                        for (address, _), part in zip(groups, parts, strict=True)
                    ]
                )
            self._shared = terms, kept
        return kept

    def _answers(self, call):
        """(address, Future of what `_asked` answers) for each group of shards."""
        shards, kept = self.shards, [one.futures for one in call.kept]
        with _large():
            call = shards.submit(None, _same, call.without_kept())
        parts = zip(shards.groups, *kept, strict=True)
        return [
            (address, shards.submit(address, _asked, call, group, *own))
            for (address, group), *own in parts
        ]

    def _total(self, answers):
        by_worker = {}
        for address, one in answers:
            by_worker.setdefault(address, []).append(one)
        totals = [
            self.shards.submit(address, _sums, *parts)
            for address, parts in by_worker.items()
        ]
        return _moved(_added(*self.shards.gather(totals)), self.device)


@contextmanager
def _large():
    """Let arrays travel of which Dask warns, from 10 MB on: L of a thousand points."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        yield


class OnShards:
    """What shards keep of an answer, by the groups of Shards."""

    def __init__(self, futures):
        self.futures = futures


class Call:
    """What workers are asked.

    Parameters
    ----------
    function : as `Workspace.sum` has it
    covariance : Covariance
        Whose kernel is meant.
    args : tuple
        Beside things that travel `OnShards`, which do not.
    has_own : bool
        Whether shards keep a part of the answer.
    """

    def __init__(self, function, covariance, args, has_own):
        self.function, self.has_own = function, has_own
        self.covariance = covariance.rows(slice(0, 1))
        self.args = _moved(args, "cpu")

    @property
    def kept(self):
        return [one for one in self.args if isinstance(one, OnShards)]

    def without_kept(self):
        """The same with places for what is on the shards."""
        other = copy(self)
        args = [
            OnShards(None) if isinstance(one, OnShards) else one for one in self.args
        ]
        other.args = args
        return other

    def of(self, points, likelihood, own):
        """The answer of one shard, for which it kept `own`: its own part and sums."""
        own, device = iter(own), points.device
        args = [
            next(own) if isinstance(one, OnShards) else _moved(one, device)
            for one in self.args
        ]
        work = Workspace(points.dtype, device)
        covariance = self.covariance.on(points)
        found = self.function(covariance, likelihood, *args, work)
        own, sums = found if self.has_own else (None, found)
        return own, _moved(sums, "cpu")


# --- what workers do ----------------------------------------------------------------


def _bound(bind, *parts):
    return [bind(rows) for rows in parts]


def _n_rows(shards):
    return sum(points.n for points, _ in shards)


def _same(value):
    return value


def _asked(call, shards, *kept):
    """What each shard keeps of its answer, and the sum of what they say."""
    with one_blas_thread():
        answers = [
            call.of(*shard, own) for shard, *own in zip(shards, *kept, strict=True)
        ]
    own, sums = zip(*answers, strict=True)
    return list(own), _added(*sums)


def _own(answer):
    return answer[0]


def _sums(*answers):
    return _added(*(sums for _, sums in answers))


def _added(*results):
    """The sum of lists of things that add up, in this order."""
    return [sum(parts[1:], parts[0]) for parts in zip(*results, strict=True)]


def _moved(value, device):
    """The same with tensors on a device: in lists, tuples and dataclasses of them."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(one, device) for one in value)
    if is_dataclass(value):
        parts = {
            one.name: _moved(getattr(value, one.name), device) for one in fields(value)
        }
        return replace(value, **parts)
    return value
