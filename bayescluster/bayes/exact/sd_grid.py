"""The trapezoid rule over the two standard deviations, refined until it converges.

The coordinates are the offset l = log sigma - constant, and u with log tau = c + u - exp(-u). For
large u, log tau is about c + u. As tau goes to zero, its posterior density stays positive and
log tau has a long left tail, but u stays above -4. The trapezoid rule converges exponentially on
smooth integrands that vanish at both ends (Takahasi & Mori 1974, Publ. RIMS 9: 721-741; Trefethen &
Weideman 2014, SIAM Review 56: 385-458): halving the step squares the error. The first grid covers
the mode, scaled by its Hessian, and all points of a wide scan with notable density. It grows until
the probability at its edges is negligible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._support.arrays import Booleans, Floats
from ...errors import FitError

#: Maps (log tau, l), each of shape (K,), to the log-density (K,) and further fields (m, K).
Field = Callable[[Floats, Floats], tuple[Floats, Floats]]

#: Steps of the first grid in conditional standard deviations at the mode, and their upper limits;
#: log tau is skewed, log sigma hardly.
STEP = (0.36, 0.46)
MAX_STEP = (0.11, 0.3)
#: Points this many nats below the maximum are ignored; share of the posterior allowed at an edge.
DEPTH = 36.0
EDGE = 1e-10
#: Largest change of the log-evidence, and of moments in posterior SDs, when the step is doubled.
EVIDENCE_TOLERANCE, MOMENT_TOLERANCE = 1e-8, 1e-6
MAX_NODES, MAX_ROUNDS = 400_000, 40
#: Left end of u, where log tau is 150 below c.
LEFT_END = -5.0
#: Position of the mode in u, where the map is smooth on the scale of 1.
MODE_U = 1.0
#: Posterior probability below which a node's moments are not computed.
NEGLIGIBLE = 1e-18


@dataclass(frozen=True, eq=False)
class Grid:
    """Values on a uniform product grid.

    Parameters
    ----------
    center : float
        c of the map log tau = c + u - exp(-u).
    u : ndarray, shape (nu,)
        Equally spaced values of u.
    offset : ndarray, shape (nl,)
        Equally spaced values of l.
    log_density : ndarray, shape (nu, nl)
        Log-density of (u, l), not normalised.
    fields : ndarray, shape (m, nu, nl)
        The further fields of the integrand.
    """

    center: float
    u: Floats
    offset: Floats
    log_density: Floats
    fields: Floats

    @property
    def step(self) -> tuple[float, float]:
        """Spacing of the two axes."""
        return self.u[1] - self.u[0], self.offset[1] - self.offset[0]

    @property
    def log_tau(self) -> Floats:
        """Values of log tau on the first axis; shape (nu,)."""
        return log_tau(self.center, self.u)

    @cached_property
    def weight(self) -> Floats:
        """Posterior probabilities of the nodes; shape (nu, nl), sum 1."""
        weight = np.exp(self.log_density - self.log_density.max())
        return weight / weight.sum()

    @property
    def log_integral(self) -> float:
        """Log of the integral of the density."""
        top = self.log_density.max()
        cell = self.step[0] * self.step[1]
        return float(top + np.log(np.exp(self.log_density - top).sum() * cell))


def log_tau(center: float, u: Floats) -> Floats:
    """Return log tau at u."""
    return center + u - np.exp(-u)


def to_u(center: float, log_taus: Floats) -> Floats:
    """Return u for given log tau: with y = log tau - c and w = exp(-u), w + log w = -y."""
    from scipy import special

    shifted = log_taus - center
    return shifted + special.wrightomega(-shifted)


def in_u(field: Field, center: float, u: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Evaluate the density of (u, l), from that of (log tau, l), and the further fields."""
    log_density, fields = field(log_tau(center, u), offset)
    return log_density + np.log1p(np.exp(-u)), fields


def integrate(
    field: Field,
    moments: Callable[[Floats, Floats, Floats], tuple[Floats, Floats]],
    scan: tuple[Floats, Floats],
    scales: tuple[float, float],
) -> Grid:
    """Return a grid on which the trapezoid rule has converged.

    Parameters
    ----------
    field : callable
        The integrand, as a function of log tau and l.
    moments : callable
        Maps log tau, l (K,) and the fields (m, K) of K nodes to conditional means and variances of
        q quantities, each of shape (q, K); convergence is judged on these.
    scan : tuple of ndarray
        Values of log tau and of l at which to look for density.
    scales : tuple of float
        Rough standard deviations of log tau and l if both are well determined.

    Raises
    ------
    FitError
        If the rule does not converge on a grid of acceptable size.
    """
    grid = _hold(field, _first_grid(field, scan, scales))
    for _ in range(MAX_ROUNDS):
        failing = _unresolved(grid, moments)
        if not failing:
            return grid
        for axis in failing:
            grid = _halve(field, grid, axis)
    raise _failure("the result keeps changing as the grid is refined")


def _failure(why: str) -> FitError:
    return FitError(
        f"the posterior of between_sd and within_sd could not be integrated: {why}; use fit, or "
        "tighter priors on the standard deviations"
    )


def around_mode(
    field: Field, scan: tuple[Floats, Floats], scales: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return log tau and l at the mode (first), and two standard deviations around it; (9,) each.

    The parameters are those of `integrate`.
    """
    mode, hessian, _ = _search(field, scan, scales)
    i, j = (axis.ravel() for axis in np.meshgrid([0, -2, 2], [0, -2, 2], indexing="ij"))
    sd = np.sqrt(np.diag(np.linalg.inv(hessian)))
    return mode[0] + i * sd[0], mode[1] + j * sd[1]


def _search(
    field: Field, scan: tuple[Floats, Floats], scales: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Return the mode, minus the Hessian there, and the scanned points that are not negligible."""
    points = np.stack([axis.ravel() for axis in np.meshgrid(*scan, indexing="ij")])
    scanned = field(*points)[0]
    mode, hessian, top = _find_mode(field, points[:, np.argmax(scanned)], np.array(scales))
    return mode, hessian, points[:, scanned > top - DEPTH]


def _first_grid(field: Field, scan: tuple[Floats, Floats], scales: tuple[float, float]) -> Grid:
    """Lay a grid around the mode, over all scanned points that are not negligible."""
    mode, hessian, near = _search(field, scan, scales)
    center = mode[0] - MODE_U + np.exp(-MODE_U)
    stretch = np.array([1 + np.exp(-MODE_U), 1.0])  # derivative of log tau in u
    conditional = 1 / np.sqrt(np.diag(hessian)) / stretch
    marginal = np.sqrt(np.diag(np.linalg.inv(hessian))) / stretch
    middle = np.array([MODE_U, mode[1]])
    low, high = middle - 7 * marginal, middle + 7 * marginal
    if near.size:
        seen = np.stack([to_u(center, near[0]), near[1]])
        low, high = np.minimum(low, seen.min(axis=1)), np.maximum(high, seen.max(axis=1))
    low[0] = max(low[0], LEFT_END)
    step = np.minimum(np.array(STEP) * conditional, MAX_STEP)
    u, offset = (
        a + h * np.arange(int((b - a) / h) + 2) for a, b, h in zip(low, high, step, strict=True)
    )
    return _evaluate(field, center, u, offset)


def _find_mode(field: Field, start: Floats, scales: Floats) -> tuple[Floats, Floats, float]:
    """Find the mode by Newton's method; return it, minus the Hessian, and the log-density."""
    at, step = start, 0.1 * scales
    for _ in range(MAX_ROUNDS):
        gradient, hessian, here = _slopes(field, at, step)
        value, vector = np.linalg.eigh(hessian * np.outer(step, step))
        curvature = np.maximum(abs(value), 1e-4)
        move = step * (vector @ ((vector.T @ (gradient * step)) / curvature))
        hessian = (vector * curvature) @ vector.T / np.outer(step, step)
        if gradient @ move < 1e-6:
            break
        move *= min(1, 2 / abs(move[0]), 20 / max(abs(move[1] / scales[1]), 1e-300))
        tried = at[:, None] + move[:, None] * 0.5 ** np.arange(0, 12, 1.5)
        found = field(*tried)[0]
        if found.max() <= here:
            break
        at = tried[:, np.argmax(found)]
        step = np.minimum(0.1 / np.sqrt(np.diag(hessian)), [0.1, 0.1])
    return at, hessian, here


def _slopes(field: Field, at: Floats, step: Floats) -> tuple[Floats, Floats, float]:
    """Return gradient, minus the Hessian, and value by central differences."""
    i, j = (axis.ravel() for axis in np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"))
    f = field(at[0] + i * step[0], at[1] + j * step[1])[0].reshape(3, 3)
    gradient = np.array([f[2, 1] - f[0, 1], f[1, 2] - f[1, 0]]) / (2 * step)
    cross = (f[2, 2] - f[2, 0] - f[0, 2] + f[0, 0]) / 4
    second = np.array(
        [[f[2, 1] - 2 * f[1, 1] + f[0, 1], cross], [cross, f[1, 2] - 2 * f[1, 1] + f[1, 0]]]
    )
    return gradient, -second / np.outer(step, step), float(f[1, 1])


def _evaluate(field: Field, center: float, u: Floats, offset: Floats) -> Grid:
    if len(u) * len(offset) > MAX_NODES:
        raise _failure(f"it needs a grid of {len(u):,} x {len(offset):,} nodes")
    points = (axis.ravel() for axis in np.meshgrid(u, offset, indexing="ij"))
    log_density, fields = in_u(field, center, *points)
    shape = (len(u), len(offset))
    return Grid(center, u, offset, log_density.reshape(shape), fields.reshape(-1, *shape))


def _join(first: Grid, second: Grid, axis: int) -> Grid:
    """Join two grids along one axis, sorted."""
    axes = [first.u, first.offset]
    axes[axis] = np.concatenate([axes[axis], (second.u, second.offset)[axis]])
    order = np.argsort(axes[axis])
    axes[axis] = axes[axis][order]
    density = np.concatenate([first.log_density, second.log_density], axis=axis)
    fields = np.concatenate([first.fields, second.fields], axis=axis + 1)
    density, fields = np.take(density, order, axis), np.take(fields, order, axis + 1)
    return Grid(first.center, axes[0], axes[1], density, fields)


def _halve(field: Field, grid: Grid, axis: int) -> Grid:
    axes = [grid.u, grid.offset]
    axes[axis] = (axes[axis][1:] + axes[axis][:-1]) / 2
    return _join(grid, _evaluate(field, grid.center, *axes), axis)


def _hold(field: Field, grid: Grid) -> Grid:
    """Extend a grid until the density at its edges is negligible, then trim it."""
    for _ in range(MAX_ROUNDS):
        full = [(axis, end) for axis in (0, 1) for end in (0, -1) if _edge(grid, axis, end) > EDGE]
        if not full:
            return _trim(grid)
        for axis, end in full:
            axes, step = [grid.u, grid.offset], grid.step[axis]
            steps = np.arange(1, len(axes[axis]) // 3 + 4) * (step if end else -step)
            more = axes[axis][end] + steps
            axes[axis] = more if axis else more[more >= LEFT_END]
            if not len(axes[axis]):
                raise _failure("the posterior of between_sd does not vanish near 0")
            grid = _join(grid, _evaluate(field, grid.center, *axes), axis)
    raise _failure("the posterior has no end within reach")


def _edge(grid: Grid, axis: int, end: int) -> float:
    """Return the share of the posterior, and of its second moments, at an edge."""
    marginal = grid.weight.sum(axis=1 - axis)
    value = np.exp((grid.log_tau, grid.offset)[axis] - (grid.log_tau, grid.offset)[axis].max())
    mean = marginal @ value
    variance = marginal @ (value - mean) ** 2
    return float(marginal[end] * (1 + (value[end] - mean) ** 2 / variance))


def _trim(grid: Grid) -> Grid:
    """Trim the ends of both axes with less than a thousandth of the share allowed at an edge."""
    keep = []
    for axis in (0, 1):
        held = np.flatnonzero(grid.weight.sum(axis=1 - axis) > EDGE / 1000)
        keep.append(slice(max(held[0] - 1, 0), held[-1] + 2))
    at = tuple(keep)
    return Grid(
        grid.center, grid.u[at[0]], grid.offset[at[1]], grid.log_density[at], grid.fields[:, *at]
    )


def _unresolved(
    grid: Grid, moments: Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
) -> list[int]:
    """Return the axes on which every second node gives other results than all nodes."""
    weight = grid.weight
    held = weight > NEGLIGIBLE
    i, j = np.nonzero(held)
    mean, variance = moments(grid.log_tau[i], grid.offset[j], grid.fields[:, i, j])

    def results(used: Booleans) -> tuple[float, Floats, Floats]:
        share = weight[i, j] * used
        total = share.sum()
        center = np.einsum("qk,k->q", mean, share) / total
        spread = variance + (mean - center[:, None]) ** 2
        return float(np.log(total)), center, np.sqrt(np.einsum("qk,k->q", spread, share) / total)

    evidence, center, sd = results(np.ones(len(i), bool))
    failing = []
    for axis, at in enumerate((i, j)):
        half = results(at % 2 == 0)
        moved = max(abs(half[1] - center) / sd) + max(abs(half[2] / sd - 1))
        gap = abs(half[0] + np.log(2) - evidence)
        if gap > EVIDENCE_TOLERANCE or moved > MOMENT_TOLERANCE:
            failing.append(axis)
    return failing
