"""Independent draws from the posterior that :mod:`.exact_posterior` integrates."""

from __future__ import annotations

import numpy as np

from ..._support.arrays import Floats
from ...errors import FitError
from ..gaussian.conditional_posterior import Conditional, solve
from .sd_grid import Field, Grid, density_in_u, log_tau
from .student_priors import Mixing

#: Initial bound on the ratio of the density to its bilinear interpolant.
ENVELOPE = 1.25
#: Number of Gibbs steps for Student's t priors.
GIBBS_STEPS = 3


def draw_scales(
    grid: Grid, field: Field, n: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Draw log tau and l by rejection from their exact density.

    Parameters
    ----------
    grid : Grid
        The density on its nodes; the proposal is its bilinear interpolant.
    field : callable
        The integrand, as a function of log tau and l.
    n : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    log_tau, l : ndarray, shape (n,)
    fields : ndarray, shape (m, n)
        The integrand's further fields at the draws.
    """
    envelope = ENVELOPE
    while envelope < 1e3:
        kept: list[tuple[Floats, Floats, Floats]] = []
        count, greatest = 0, 0.0
        while count < n and greatest <= envelope:
            tried = int((n - count) * envelope * 1.05) + 20
            u, offset, log_proposal = _propose(grid, tried, rng)
            log_density, fields = density_in_u(field, grid.center, u, offset)
            ratio = np.exp(log_density - grid.log_integral - log_proposal)
            greatest = max(greatest, float(ratio.max()))
            take = rng.uniform(size=tried) * envelope < ratio
            kept.append((u[take], offset[take], fields[:, take]))
            count += int(take.sum())
        if greatest <= envelope:
            parts = zip(*kept, strict=True)
            u, offset, fields = (np.concatenate(part, axis=-1)[..., :n] for part in parts)
            return log_tau(grid.center, u), offset, fields
        envelope = 2 * greatest  # the interpolant was too low somewhere: start again
    raise FitError("independent draws failed: the grid is too coarse; use fit")


def _propose(grid: Grid, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Draw (u, l) from the bilinear interpolant of the density; return them and its log there.

    A draw is a node, chosen by weight, moved by the sum of two uniform variables on each axis.
    """
    weight = np.pad(grid.weight, 2)
    node = rng.choice(weight.size, n, p=weight.ravel())
    at = np.stack(np.unravel_index(node, weight.shape))
    moved = at + rng.uniform(size=(2, n)) - rng.uniform(size=(2, n))
    low = np.floor(moved).astype(np.int64)
    share = moved - low
    density = np.zeros(n)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corner = weight[low[0] + i, low[1] + j]
        density += corner * abs(1 - i - share[0]) * abs(1 - j - share[1])
    cell = grid.step[0] * grid.step[1]
    u = grid.u[0] + (moved[0] - 2) * grid.step[0]
    offset = grid.offset[0] + (moved[1] - 2) * grid.step[1]
    return u, offset, np.log(density / cell)


def draw_locations(mixing: Mixing, augmented: Floats, rng: np.random.Generator) -> Floats:
    """Draw b given tau and sigma; shape (d, n).

    Parameters
    ----------
    mixing : Mixing
        Student's t priors.
    augmented : ndarray, shape (d + 1, d + 1, n)
        A at the draws of the standard deviations, without the Student's t priors.
    rng : numpy.random.Generator
        Source of randomness.
    """
    if not len(mixing.nu):
        return _draw_normal(augmented, rng)
    precision = mixing.draw_node(rng, augmented)
    b = _draw_normal(mixing.add(augmented.copy(), precision), rng)
    for _ in range(GIBBS_STEPS):
        precision = mixing.draw_precision(rng, b)
        b = _draw_normal(mixing.add(augmented.copy(), precision), rng)
    return b


def _draw_normal(augmented: Floats, rng: np.random.Generator) -> Floats:
    mean, cov = solve(augmented)
    noise = rng.standard_normal(mean.shape)
    return mean + np.einsum("kab,bk->ak", np.linalg.cholesky(np.moveaxis(cov, -1, 0)), noise)


def draw_strata(
    conditional: Conditional,
    between_sd: Floats,
    offset: Floats,
    b: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Draw the stratum effects given all other parameters; shape (n, S).

    Independent normal variables, minus their sum in proportion to their variances, have the
    distribution of these variables conditioned on a sum of zero.
    """
    drawn = np.empty((len(offset), len(conditional.starts)))
    for part, variance, center, slope in conditional.strata(between_sd, offset):
        noise = rng.standard_normal(variance.shape) * np.sqrt(variance)
        noise -= variance / variance.sum(axis=0) * noise.sum(axis=0)
        drawn[part] = (center - np.einsum("dsk,dk->sk", slope, b[:, part]) + noise).T
    return drawn - drawn.mean(axis=1, keepdims=True)
