"""One vector of all free parameters, in named blocks."""

import numpy as np


class Parameters:
    """Where each block of parameters stands in the vector that is optimised.

    The kernel's logarithms come first, so that for a model without other parameters
    the vector is scikit-learn's theta.

    Parameters
    ----------
    **sizes : int
        Of the blocks "kernel", "likelihood", "weights", "inducing", in this order;
        those without parameters may be left out.
    """

    def __init__(self, **sizes):
        self._places, stop = {}, 0
        for name, size in sizes.items():
            self._places[name] = slice(stop, stop + size)
            stop += size
        self.size = stop

    def split(self, vector):
        """The vector as a dict of blocks (views)."""
        return {name: vector[where] for name, where in self._places.items()}

    def join(self, parts):
        """A dict of blocks (p,) or (p, k), such as bounds, as one; missing ones are 0.

        A name that is no block is an error (KeyError).
        """
        if len(parts) == len(self._places) == 1:
            return np.asarray(parts[next(iter(self._places))])
        shape = np.shape(next(iter(parts.values())))[1:]
        joined = np.zeros((self.size, *shape))
        for name, part in parts.items():
            joined[self._places[name]] = part
        return joined
