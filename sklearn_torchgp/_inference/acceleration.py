"""Anderson acceleration of a fixed-point iteration (Walker and Ni 2011, type II)."""

import torch

# Steps that are remembered. On eight EP and VI problems (n = 100 to 768) 5 took 15 to
# 45 % fewer iterations than damping alone; 3 took 5 % more than 5.
MEMORY = 5


class Anderson:
    """Proposes the next iterate from the last few and their residuals.

    Where the residual grows the memory is dropped and the step shortened: then the
    iteration is the damped one, until it settles again.

    Parameters
    ----------
    damping : float
        Longest step along a residual.
    """

    def __init__(self, damping):
        self.damping = self.step = damping
        self.last = float("inf")
        self.memory = []

    def propose(self, x, r, scale, size):
        """The next iterate, for x (p,) with residual r (p,).

        Parameters
        ----------
        scale : tensor (p,)
            Makes entries of r comparable.
        size : float
            Norm by which progress is judged.
        """
        if size > self.last:
            self.memory = []
            self.step = max(0.2, 0.6 * self.step)
        else:
            self.step = min(self.damping, 1.3 * self.step)
        self.last = size
        proposal = x + self.step * r - self._correction(x, r, scale)
        self.memory = [*self.memory, (x, r)][-MEMORY:]
        return proposal

    def _correction(self, x, r, scale):
        """What the linear model of the residuals takes off the damped step."""
        if not self.memory:
            return 0.0
        dx = torch.stack([x - old for old, _ in self.memory], dim=1)
        dr = torch.stack([r - old for _, old in self.memory], dim=1)
        A = dr * scale[:, None]
        normal = A.mT @ A
        normal.diagonal().mul_(1 + 1e3 * torch.finfo(x.dtype).eps)
        L, info = torch.linalg.cholesky_ex(normal)
        if info.item():  # residuals that no longer differ: nothing to learn
            return 0.0
        weights = torch.cholesky_solve((A.mT @ (scale * r))[:, None], L)
        return ((dx + self.step * dr) @ weights)[:, 0]
