"""From a kernel object to the tree of nodes that evaluates it."""

from sklearn.gaussian_process import kernels

from .fallback import Fallback
from .leaf import Leaf, Own
from .registry import lookup


class Binding:
    """Makes nodes, for rows of n_features columns.

    Parameters
    ----------
    n_features : int or None
        None: the rows are no table.

    Attributes
    ----------
    leaves : list
        All that has parameters; a leaf's `index` is its place here.
    networks : list
        Those of them that have weights.
    """

    def __init__(self, n_features, leaves=None, networks=None):
        self.n_features = n_features
        self.leaves = [] if leaves is None else leaves
        self.networks = [] if networks is None else networks

    def within(self, n_features):
        """The same for parts that see other columns."""
        return Binding(n_features, self.leaves, self.networks)

    def tree(self, kernel):
        """The whole tree. Weights of networks stand in theta after all else."""
        tree = self.node(kernel, 0)
        stop = tree.stop
        for network in self.networks:
            start, stop = stop, stop + network.n_weights
            network.place = slice(start, stop)
        return tree

    def node(self, kernel, start):
        """The node of a kernel whose free hyperparameters begin at theta[start]."""
        if type(kernel) is kernels.CompoundKernel:
            raise ValueError(
                "The 'kernel' parameter is a CompoundKernel, which stands for several "
                "covariance matrices, one for each of its kernels. A regressor needs "
                "one: combine the kernels with + or *."
            )
        entry = lookup(kernel)
        if entry is None:
            node = Fallback(kernel, len(self.leaves), start)
        elif entry.node is not None:
            return entry.node(kernel, start, self)
        else:
            node = Leaf(kernel, entry, len(self.leaves), start)
        self.leaves.append(node)
        node.check(self.n_features)
        return node

    def network(self, make, kernel):
        """A leaf with weights: ``make(kernel, index, n_features)``."""
        network = make(kernel, len(self.leaves), self.n_features)
        self.leaves.append(network)
        self.networks.append(network)
        return network

    def own(self, kernel, start):
        """The hyperparameters that a kernel has beyond those of its parts."""
        own = Own(kernel, kernel.own_hyperparameters, len(self.leaves), start)
        self.leaves.append(own)
        return own
