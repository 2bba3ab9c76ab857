"""The likelihood of cells with the cluster intercepts integrated out, by adaptive quadrature.

For cluster j with cells c, L_j = integral of prod_c p(cell c | a + x_c'b) Normal(a | level_j, tau)
da. The integrand is log-concave in a (student_t apart), so it is centred at its mode, found by
Newton's method, scaled by its curvature there, and summed over a grid z of equal steps with
a = mode + scale x sinh(beta z) / beta: the trapezoidal rule, which converges exponentially for such
functions (Trefethen & Weideman 2014, SIAM Review 56: 385-458); the hyperbolic sine reaches the long
tail of skewed integrands. Pinheiro & Bates (1995, Journal of Computational and Graphical Statistics
4: 12-35) centre Gauss-Hermite nodes in the same way.

With the intercepts out, what is left to sample is as low-dimensional and as well-conditioned as in
the gaussian model, for two users a cluster or for a hundred thousand. Clusters that hold the same
counts share one integral.
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
#: Numbers of nodes to choose from.
NODES = (15, 21, 31, 41, 51, 61, 91, 121)
#: Error of the log-likelihood of all units that a number of nodes may have, and the share of the
#: log-likelihood that rounding makes of it.
TOLERANCE, ROUNDING = 1e-9, 1e-13
#: Newton steps to the mode end with the first that is shorter than MODE_TOLERANCE scales: what is
#: left is of the order of its square. Each moves a linear predictor by no more than MAX_STEP (of
#: student_t, whose linear predictor is in the outcome's unit: so many of its scales).
MODE_TOLERANCE, NEWTON_STEPS, MAX_STEP = 1e-3, 50, 2.0


@dataclass(frozen=True, eq=False)
class ClusterCells:
    """Cells laid out by distinct cluster: clusters with the same counts are one profile.

    With K profiles of at most P cells and p regressors:

    Parameters
    ----------
    n, total : ndarray, shape (K, P)
        Units and total of each cell; a cell that a profile does not have holds 0 and 0.
    x : ndarray, shape (K, P, p)
        Regressors.
    count : ndarray, shape (K,)
        Clusters of each profile.
    group : ndarray, shape (K,)
        What the prior of the intercept depends on: a code of stratum and arm.
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
        """Lay out cells.

        Parameters
        ----------
        cells : CellCounts
            The data.
        x : ndarray, shape (C, p)
            Regressors of the cells, as the model has them.
        group : ndarray, shape (J,)
            Clusters of different groups are different profiles.
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
        """Median outcome of each profile, of cells that are keyed by the outcome; shape (K,)."""
        return _medians(self._value, self.n)

    @cached_property
    def spread(self) -> float:
        """Robust standard deviation of such outcomes within clusters: no outlier moves it far."""
        distance = np.abs(self._value - self.median[:, None])
        weight = self.n * self.count[:, None]
        typical = 1.4826 * float(_medians(distance.reshape(1, -1), weight.reshape(1, -1))[0])
        return typical or float((weight * distance).sum() / weight.sum())

    @property
    def _value(self) -> Floats:
        return self.total / np.maximum(self.n, 1)


@dataclass(frozen=True, eq=False)
class Layout:
    """What the quadrature reads of `ClusterCells`: arrays, or a PyMC model's variables.

    Parameters
    ----------
    n, total : array, shape (K, P)
        Units and total of each cell.
    start : array, shape (K,)
        Where the search of each mode starts: the linear predictor of a smoothed mean (student_t:
        the median, which outliers do not drag away).
    """

    n: Any
    total: Any
    start: Any

    @classmethod
    def of(cls, cells: ClusterCells, family: Family, *, each_cluster: bool = False) -> Layout:
        """Read cells, by profile or with the profile of each cluster repeated."""
        rate = family.link.inside(cells.median if density_of(family).by_value else cells.rate, 1e-9)
        at = cells.profile if each_cluster else slice(None)
        return cls(cells.n[at], cells.total[at], family.link.of_mean(rate)[at])


def density_of(family: Family) -> CellDensity:
    """Return how a family is fitted to cells; raise where it is not."""
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
    """Return log L_k of each profile, but for the part that depends on the outcomes alone.

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
    """Return log(sum(exp(terms))) over the last axis; -inf where all terms are."""
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
    """Return by how much a step to the mode may move a linear predictor; of `scale`'s shape."""
    return MAX_STEP * (scale if family.has_within_sd else np.ones_like(scale))


def _medians(values: Floats, n: Floats) -> Floats:
    """Return the median of each row's values, of which there are n; shape (K,)."""
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
    """Return positions in scales and weights of the nodes; shape (nodes,) each."""
    z, step = np.linspace(-REACH, REACH, nodes, retstep=True)
    return np.sinh(STRETCH * z) / STRETCH, np.cosh(STRETCH * z) * step
