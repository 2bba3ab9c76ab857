"""The likelihood of cells with cluster intercepts integrated out by adaptive quadrature.

For cluster j with cells c, L_j = integral of prod_c p(cell c | a + x_c'b) Normal(a | level_j, tau)
da. The integrand is log-concave in a, except for student_t. The rule is centred at the integrand's
mode, found by Newton's method, and scaled by its curvature there. It sums over a grid z of equal
steps with a = mode + scale x sinh(beta z) / beta. This trapezoidal rule converges exponentially for
such functions (Trefethen & Weideman 2014, SIAM Review 56: 385-458); the hyperbolic sine covers the
long tail of skewed integrands. Pinheiro & Bates (1995, Journal of Computational and Graphical
Statistics 4: 12-35) centre Gauss-Hermite nodes in the same way.

Without the intercepts, the parameters to sample are as few and as well-conditioned as in the
gaussian model, for two users per cluster or for a hundred thousand. Clusters with the same counts
share one integral.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..._support.arrays import Floats, Integers
from ...data.cell_counts import CellCounts
from ...spec.families import CellDensity, Family

#: Reach and stretch of the grid: a = mode +- scale x sinh(STRETCH x REACH) / STRETCH, 15 scales.
REACH, STRETCH = 5.5, 0.5
#: Candidate numbers of nodes.
NODES = (15, 21, 31, 41, 51, 61, 91, 121)
#: Tolerated error of the log-likelihood of all units when choosing the number of nodes, and the
#: rounding error as a share of the log-likelihood.
TOLERANCE, ROUNDING = 1e-9, 1e-13
#: Newton's method stops after the first step shorter than MODE_TOLERANCE scales; the remaining
#: error is of the order of its square. A step moves a linear predictor by at most MAX_STEP (for
#: student_t, whose linear predictor is in the outcome's unit: MAX_STEP scales).
MODE_TOLERANCE, NEWTON_STEPS, MAX_STEP = 1e-3, 50, 2.0


@dataclass(frozen=True, eq=False)
class ClusterCells:
    """Cells by distinct cluster: clusters with the same counts share one profile.

    With K profiles of at most P cells and p regressors:

    Parameters
    ----------
    n, total : ndarray, shape (K, P)
        Units and total of each cell; 0 and 0 in padding cells.
    x : ndarray, shape (K, P, p)
        Regressors.
    count : ndarray, shape (K,)
        Number of clusters of each profile.
    group : ndarray, shape (K,)
        Code of stratum and arm, on which the prior of the intercept depends.
    profile : ndarray, shape (J,)
        Profile of each cluster.
    """

    n: Floats
    total: Floats
    x: Floats
    count: Floats
    group: Integers
    profile: Integers

    @classmethod
    def of(cls, cells: CellCounts, x: Floats, group: Integers) -> ClusterCells:
        """Lay out cells by distinct cluster.

        Parameters
        ----------
        cells : CellCounts
            The data.
        x : ndarray, shape (C, p)
            Regressors of the cells, on the model's scale.
        group : ndarray, shape (J,)
            Clusters of different groups have different profiles.
        """
        order = np.lexsort((*x.T[::-1], cells.cluster))
        cluster = cells.cluster[order]
        starts = np.searchsorted(cluster, np.arange(cells.n_clusters))
        slot = np.arange(len(cluster)) - starts[cluster]
        width = int(slot.max()) + 1
        laid = np.zeros((cells.n_clusters, width, 2 + x.shape[1]))
        laid[cluster, slot] = np.column_stack([cells.n, cells.total, x])[order]
        flat = np.column_stack([group, laid.reshape(cells.n_clusters, -1)])
        _, first, profile, count = np.unique(
            flat, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        kept = laid[first]
        return cls(
            n=kept[..., 0],
            total=kept[..., 1],
            x=kept[..., 2:],
            count=count.astype(float),
            group=group[first],
            profile=profile.ravel(),
        )

    @cached_property
    def rate(self) -> Floats:
        """Smoothed mean of each profile's outcomes; shape (K,)."""
        n, total = self.n.sum(axis=1), self.total.sum(axis=1)
        return (total + self.count @ total / (self.count @ n)) / (n + 1)

    @cached_property
    def median(self) -> Floats:
        """Median outcome of each profile, for cells that are keyed by the outcome; shape (K,)."""
        return _medians(self._value, self.n)

    @cached_property
    def spread(self) -> float:
        """Robust standard deviation within clusters, for cells that are keyed by the outcome."""
        distance = np.abs(self._value - self.median[:, None])
        weight = self.n * self.count[:, None]
        typical = 1.4826 * float(_medians(distance.reshape(1, -1), weight.reshape(1, -1))[0])
        return typical or float((weight * distance).sum() / weight.sum())

    @property
    def _value(self) -> Floats:
        return self.total / np.maximum(self.n, 1)


@dataclass(frozen=True, eq=False)
class Layout:
    """The inputs of the quadrature: arrays of `ClusterCells`, or a PyMC model's variables.

    Parameters
    ----------
    n, total : array, shape (K, P)
        Units and total of each cell.
    start : array, shape (K,)
        Start of the search for each mode: the linear predictor of a smoothed mean (for student_t,
        of the median, which is robust to outliers).
    """

    n: Any
    total: Any
    start: Any

    @classmethod
    def of(cls, cells: ClusterCells, family: Family, *, each_cluster: bool = False) -> Layout:
        """Read cells, one entry per profile or one per cluster."""
        rate = family.link.inside(cells.median if density_of(family).by_value else cells.rate, 1e-9)
        at = cells.profile if each_cluster else slice(None)
        return cls(cells.n[at], cells.total[at], family.link.of_mean(rate)[at])


def density_of(family: Family) -> CellDensity:
    """Return the cell density of a family; raise ValueError for families fitted to moments."""
    if family.cells is None:
        raise ValueError(f"family {family.name!r} is fitted to moments, not to cells")
    return family.cells


def integrated_log_likelihood(
    family: Family,
    cells: Layout,
    level: Any,
    offset: Any,
    between_sd: Any,
    shape: Any,
    scale: Any,
    nodes: int,
) -> Any:
    """Return log L_k of each profile, without the part that depends only on the outcomes.

    Parameters
    ----------
    family : Family
        The family.
    cells : Layout
        The data.
    level, between_sd : array, shape (..., K)
        Mean and standard deviation of each profile's intercept.
    offset : array, shape (..., K, P)
        x'b of each cell.
    shape, scale : array, shape (..., 1, 1, 1)
        See :class:`bayescluster.spec.families.CellDensity`.
    nodes : int
        Number of nodes.

    Returns
    -------
    array, shape (..., K)
    """
    mode, width = find_mode(family, cells, level, offset, between_sd, shape[..., 0], scale[..., 0])
    stretched, weight = grid(nodes)
    a = mode[..., None] + width[..., None] * stretched
    values = density_of(family).log_density(
        np,
        a[..., None, :] + offset[..., None],
        cells.n[..., None],
        cells.total[..., None],
        shape,
        scale,
    )
    z = (a - level[..., None]) / between_sd[..., None]
    terms = values.sum(axis=-2) - 0.5 * z**2 + np.log(weight)
    total = log_sum_exp(terms)
    return total + np.log(width / between_sd) - 0.5 * np.log(2 * np.pi)


def log_sum_exp(terms: Floats) -> Floats:
    """Return log(sum(exp(terms))) over the last axis; -inf if all terms are."""
    largest = terms.max(axis=-1)
    safe = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(terms - safe[..., None]).sum(axis=-1)) + safe


def find_mode(
    family: Family,
    cells: Layout,
    level: Any,
    offset: Any,
    between_sd: Any,
    shape: Any,
    scale: Any,
) -> tuple[Any, Any]:
    """Return mode and scale of each profile's integrand, each of shape (..., K)."""
    precision = 1 / between_sd**2
    n = cells.n.sum(axis=-1)
    a = cells.start - (cells.n * offset).sum(axis=-1) / n
    _, known = _derivatives(family, cells, a, offset, shape, scale)
    a = (known * a + precision * level) / (known + precision)
    longest = largest_step(family, scale)[..., 0]
    for _ in range(NEWTON_STEPS):
        score, known = _derivatives(family, cells, a, offset, shape, scale)
        step = (score - precision * (a - level)) / (known + precision)
        a = a + np.clip(step, -longest, longest)
        if (np.abs(step) * np.sqrt(known + precision) < MODE_TOLERANCE).all():
            break
    return a, 1 / np.sqrt(known + precision)


def largest_step(family: Family, scale: Any) -> Any:
    """Return the largest change of a linear predictor in one step to the mode; shape of `scale`."""
    return MAX_STEP * (scale if family.has_within_sd else np.ones_like(scale))


def _medians(values: Floats, n: Floats) -> Floats:
    """Return the median of each row's values, with frequencies n; shape (K,)."""
    order = np.argsort(np.where(n > 0, values, np.inf), axis=1)
    below = np.cumsum(np.take_along_axis(n, order, axis=1), axis=1)
    middle = (2 * below < below[:, -1:]).sum(axis=1, keepdims=True)
    return np.take_along_axis(np.take_along_axis(values, order, axis=1), middle, axis=1)[:, 0]


def _derivatives(
    family: Family, cells: Layout, a: Any, offset: Any, shape: Any, scale: Any
) -> tuple[Any, Any]:
    eta = a[..., None] + offset
    density = density_of(family)
    score, known = density.score_and_information(eta, cells.n, cells.total, shape, scale)
    return score.sum(axis=-1), known.sum(axis=-1)


def grid(nodes: int) -> tuple[Floats, Floats]:
    """Return the nodes' positions, in scales, and weights; shape (nodes,) each."""
    z, step = np.linspace(-REACH, REACH, nodes, retstep=True)
    return np.sinh(STRETCH * z) / STRETCH, np.cosh(STRETCH * z) * step
