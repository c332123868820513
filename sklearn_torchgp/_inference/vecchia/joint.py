"""The joint covariance of new rows, each told by its own nearest training rows.

It is the prior covariance of the *errors* of their predictions, f_i - b_i' y_Ni,

    C_ij = k_ij - k_i,Nj b_j - b_i' k_Ni,j + b_i' K_Ni,Nj b_j,

which is positive semi-definite, knows no order of the rows and has their variances on
its diagonal.
"""

import numpy as np
import torch

from ..._linalg.memory import row_blocks


def covariance_of_errors(at, observed, Z, prior, near, weights):
    """C for each factor: list of tensors (m, m).

    In blocks of the training rows that are anybody's neighbours, with all of which a
    block meets at a time.

    Parameters
    ----------
    at : CovarianceAt
    observed : list of Observations
        One a factor.
    Z : Points (m,)
    prior : tensor (m, m)
    near : ndarray of int (m, k)
    weights : list of tensors (m, k)
        The b of each factor.
    """
    points = at.points
    used, places = np.unique(near, return_inverse=True)
    places = places.reshape(near.shape)
    rows = torch.from_numpy(used).long().to(points.device)
    bags = torch.from_numpy(places).to(points.device)
    diagonals = [_diagonal(at, one, rows) for one in observed]
    found = [prior.clone() for _ in observed]
    m, bytes_per_row = len(near), (len(used) + 3 * len(near)) * points.itemsize
    pool = points[rows]
    for some in row_blocks(len(used), bytes_per_row, points.device):
        part = points[rows[some]]
        K = at.cross(pool, part)[0]
        k = at.cross(Z, part)[0]
        own, chosen = K[some].diagonal(), _within(places, some)
        for C, b, diagonal in zip(found, weights, diagonals, strict=True):
            own.copy_(diagonal[some])
            # B: what each row of this block counts in each prediction.
            B = b.new_zeros(len(own), m)
            i, j = (torch.from_numpy(one).to(points.device) for one in chosen)
            B[bags[i, j] - some.start, i] = b[i, j]
            told = torch.nn.functional.embedding_bag(
                bags, K, per_sample_weights=b, mode="sum"
            )
            cross = k @ B
            C -= cross
            C -= cross.mT
            C += told @ B
    return found


def _within(places, block):
    """Where the places (m, k) are in this block."""
    return ((places >= block.start) & (places < block.stop)).nonzero()


def _diagonal(at, observed, rows):
    """What the observations of these rows have on the diagonal: tensor (n,)."""
    index = rows[:, None]
    K, part = at.blocks(index)[0], observed.rows(index)
    nugget = 0.0 if part.weight is None else at.nugget(at.points[index])[0]
    return part.cover_(K, nugget)[:, 0, 0]
