"""Functions of rows that know no batches, on batches of rows."""

import torch


def one_by_one(function, *points):
    """Value and pull of batched Points from a node's function, block after block."""
    n_blocks = max(len(p.shape) > 1 and p.shape[0] for p in points)
    same = points[0] is points[-1]  # a row meets itself, with its noise
    values, pulls = [], []
    for i in range(n_blocks):
        first = points[0].block(i)
        others = (first if same else p.block(i) for p in points[1:])
        value, pull = function(first, *others)
        values.append(value)
        pulls.append(pull)

    def pull_all(G, scale, grads):
        for weights, pull in zip(G, pulls, strict=True):
            pull(weights, scale, grads)

    return torch.stack(values), pull_all


def over_batches(function):
    """A torch function (params, X[, Z]) of rows, for X (b, m, d) too.

    By torch.vmap where it can follow the function, and else block by block.
    """

    def batched(params, *inputs):
        if all(X.ndim < 3 for X in inputs):
            return function(params, *inputs)
        n_blocks = next(len(X) for X in inputs if X.ndim > 2)
        inputs = [X if X.ndim > 2 else X.expand(n_blocks, -1, -1) for X in inputs]
        has_pullback = False

        def value(*rows):
            nonlocal has_pullback
            result = function(params, *rows)
            has_pullback = isinstance(result, tuple)
            return result[0] if has_pullback else result

        def gradients(G, *rows):
            found = function(params, *rows)[1](G)
            return {k: torch.as_tensor(v, dtype=G.dtype) for k, v in found.items()}

        K = _each(value, *inputs)
        if not has_pullback:
            return K

        def pullback(G):
            found = _each(gradients, G, *inputs)
            return {name: gradient.sum(0) for name, gradient in found.items()}

        return K, pullback

    return batched


def _each(function, *inputs):
    """function(*rows) of each block, stacked."""
    try:
        return torch.vmap(function)(*inputs)
    except Exception:  # vmap does not follow all of torch; the loop raises true errors
        values = [function(*block) for block in zip(*inputs, strict=True)]
    if isinstance(values[0], dict):
        return {name: torch.stack([v[name] for v in values]) for name in values[0]}
    return torch.stack(values)
