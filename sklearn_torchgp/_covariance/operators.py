"""Sum, Product and Exponentiation of kernel nodes.

A covariance is D + N, with D dense and N a nugget on the diagonal only, so

    (D1 + N1) + (D2 + N2) = (D1 + D2)  +  (N1 + N2)
    (D1 + N1) * (D2 + N2) =  D1 * D2   +  (N1 d2 + d1 N2 + N1 N2),   d = diag D
    (D + N) ^ p           =  D ^ p     +  ((d + N) ^ p - d ^ p)

and each rule comes with its pullback. Values are tensors or, where constant, floats;
the pullback of a float takes the sum of the weights in place of the weights, so that a
constant costs one pass over them and keeps no matrix.
"""

from itertools import product as pairs

from sklearn.gaussian_process import kernels

from .leaf import nothing
from .registry import KernelRecord, register


class Operator:
    """What the operators share: children, and the parts of their free parameters.

    Attributes
    ----------
    pointwise : bool
        Whether the value of a pair of rows is a function of the children's values of
        that pair alone.
    columns : tuple of int or None
        Of the rows, that the children see; None: all of them.
    """

    pointwise, columns = False, None

    def __init__(self, *children):
        self.children = children
        self.blockwise = all(child.blockwise for child in children)
        self.few = all(child.few for child in children)
        self.stop = children[-1].stop


class Sum(Operator):
    pointwise = True

    def dense(self, at, rows, cols):
        return plus(*(child.dense(at, rows, cols) for child in self.children))

    def diag(self, at, points):
        return plus(*(child.diag(at, points) for child in self.children))

    def nugget(self, at, points):
        return plus(*(child.nugget(at, points) for child in self.children))

    def slope(self, at, rows, cols):
        (a, pull_a), (b, pull_b) = (c.slope(at, rows, cols) for c in self.children)
        return a + b, lambda G: pull_a(G) + pull_b(G)


class Product(Operator):
    pointwise = True

    def dense(self, at, rows, cols):
        return _times(*(child.dense(at, rows, cols) for child in self.children))

    def diag(self, at, points):
        return _times(*(child.diag(at, points) for child in self.children))

    def nugget(self, at, points):
        (k1, k2) = self.children
        n1, n2 = k1.nugget(at, points), k2.nugget(at, points)
        if is_number(n1[0], 0) and is_number(n2[0], 0):
            return 0.0, nothing
        d1, d2 = k1.diag(at, points), k2.diag(at, points)
        return plus(plus(_times(n1, d2), _times(d1, n2)), _times(n1, n2))

    def slope(self, at, rows, cols):
        (a, pull_a), (b, pull_b) = (c.slope(at, rows, cols) for c in self.children)
        return a * b, lambda G: pull_a(G * b) + pull_b(G * a)


class Exponentiation(Operator):
    pointwise = True

    def __init__(self, child, exponent):
        super().__init__(child)
        self.exponent, self.few = exponent, False

    def dense(self, at, rows, cols):
        return self._power(self.children[0].dense(at, rows, cols))

    def diag(self, at, points):
        return self._power(self.children[0].diag(at, points))

    def nugget(self, at, points):
        noise = self.children[0].nugget(at, points)
        if is_number(noise[0], 0):
            return noise
        d = self.children[0].diag(at, points)
        minus = self._power(d)
        negative = -minus[0], scaled(minus[1], -1.0)
        return plus(self._power(plus(d, noise)), negative)

    def slope(self, at, rows, cols):
        value, pull = self.children[0].slope(at, rows, cols)
        p = self.exponent
        return value**p, lambda G: pull(G * (p * value ** (p - 1)))

    def _power(self, term):
        value, pull = term
        p = self.exponent

        def power_pull(G, scale, grads):
            slope = p * value ** (p - 1)
            if isinstance(slope, float):
                pull(G, scale * slope, grads)
            else:
                pull(G * slope, scale, grads)

        return value**p, power_pull if pull is not nothing else nothing


def is_number(value, number):
    """Whether value is this very number (and not a tensor)."""
    return isinstance(value, (int, float)) and value == number


def weights_for(value, G):
    """The weights that the pullback of this value takes: their sum for a float."""
    return G.sum() if isinstance(value, float) else G


def plus(first, second):
    """The sum of two values, each with its pull."""
    (a, pull_a), (b, pull_b) = first, second

    def pull(G, scale, grads):
        for inner, value in ((pull_a, a), (pull_b, b)):
            if inner is not nothing:
                inner(weights_for(value, G), scale, grads)

    if pull_a is nothing and pull_b is nothing:
        pull = nothing
    if is_number(a, 0) or is_number(b, 0):
        return (b if is_number(a, 0) else a), pull
    return a + b, pull


def _times(first, second):
    c, value, pull = _factors(first, second)
    return _whole(c, value), pull


def _whole(c, value):
    return value if c == 1 else c * value


def _factors(first, second):
    """The product of two values as (c, value, pull): c is one of them if a float."""
    (a, pull_a), (b, pull_b) = first, second
    if is_number(a, 0) or is_number(b, 0):
        # Exactly zero at every theta: WhiteKernel's dense part, a kernel's no-nugget.
        return 1.0, 0.0, nothing

    def pull(G, scale, grads):
        for inner, value, factor in ((pull_a, a, b), (pull_b, b, a)):
            if inner is nothing:
                continue
            if isinstance(factor, float):
                inner(weights_for(value, G), scale * factor, grads)
            elif isinstance(value, float):
                inner(G.reshape(-1) @ factor.reshape(-1), scale, grads)
            else:
                inner(G * factor, scale, grads)

    if pull_a is nothing and pull_b is nothing:
        pull = nothing
    if isinstance(a, float):
        return a, b, pull
    return (b, a, pull) if isinstance(b, float) else (1.0, a * b, pull)


def factored(node, at, rows, cols):
    """What `dense` answers, as (c, value, pull): a float c times the value.

    So a variance in front of all costs no pass over the pairs and no matrix of its
    own: whoever writes the value, or multiplies by it, brings c along.
    """
    if type(node) is Product:
        return _factors(*(child.dense(at, rows, cols) for child in node.children))
    if type(node) is Sum:
        terms = [factored(child, at, rows, cols) for child in node.children]
        (a, A, pull_a), (b, B, pull_b) = terms
        if is_number(A, 0) or is_number(B, 0):  # a WhiteKernel
            c = b if is_number(A, 0) else a
            return c, *plus((A, pull_a), (B, pull_b))
        return 1.0, *plus((_whole(a, A), pull_a), (_whole(b, B), pull_b))
    return 1.0, *node.dense(at, rows, cols)


def scaled(pull, factor):
    """The pull of factor times the value."""
    if pull is nothing:
        return nothing
    return lambda G, scale, grads: pull(G, factor * scale, grads)


def _pair(operator):
    """The node of a kernel object with two parts, k1 and k2."""

    def node(kernel, start, binding):
        first = binding.node(kernel.k1, start)
        return operator(first, binding.node(kernel.k2, first.stop))

    return node


def _power(kernel, start, binding):
    return Exponentiation(binding.node(kernel.kernel, start), kernel.exponent)


def _terms_of_power(kernel, d, terms):
    if kernel.exponent not in (1, 2, 3, 4):
        raise ValueError(
            f"The 'kernel' parameter has a power, {kernel}, without random features: "
            "sample_paths allows exponents 1 to 4. Use sample_y for draws at given "
            "rows."
        )
    result = base = terms(kernel.kernel, d)
    for _ in range(int(kernel.exponent) - 1):
        result = [a * b for a, b in pairs(result, base)]
    return result


register(
    kernels.Sum,
    KernelRecord(
        node=_pair(Sum),
        terms=lambda kernel, d, terms: terms(kernel.k1, d) + terms(kernel.k2, d),
    ),
)
register(
    kernels.Product,
    KernelRecord(
        node=_pair(Product),
        terms=lambda kernel, d, terms: [
            a * b for a, b in pairs(terms(kernel.k1, d), terms(kernel.k2, d))
        ],
    ),
)
register(kernels.Exponentiation, KernelRecord(node=_power, terms=_terms_of_power))
