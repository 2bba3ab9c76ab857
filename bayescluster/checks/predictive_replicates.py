"""Replicated experiments: the same cluster sizes and regressors, new intercepts and new users.

Users of a cluster in the same exposure condition form a group. For outcomes counted in cells,
groups are cells. For gaussian outcomes, groups are recovered from the moments, which hold the sum
of the outcome, and of each regressor, over the users with a binary regressor equal to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._support.arrays import BLOCK_ELEMENTS, Floats, Integers
from ..bayes.cells.intercept_quadrature import density_of
from ..bayes.model_inputs import cell_likelihood, gaussian_statistics
from ..bayes.parameter_draws import ParameterDraws
from ..data.experiment import Experiment
from ..spec.families import Family

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Units x draws above which counts are drawn as frequencies of their values.
MAX_UNITS_DRAWN = 40_000_000
#: Largest number of distinct values of a count for which frequencies are drawn.
MAX_VALUES = 4_000


@dataclass(frozen=True, eq=False)
class Groups:
    """C groups of users of one cluster with the same exposure condition (and cell).

    Parameters
    ----------
    cluster : ndarray, shape (C,)
        Position of each group's cluster.
    x : ndarray, shape (C, p)
        Mean regressors of each group, on the model's scale (covariates centred).
    n : ndarray, shape (C,)
        Number of users.
    total : ndarray, shape (C,)
        Sum of their outcomes (lognormal: of the logarithms).
    condition : ndarray of str, shape (C,)
        Exposure condition; "treated" and "control" if only the moments of a spillover dose are
        known.
    """

    cluster: Integers
    x: Floats
    n: Floats
    total: Floats
    condition: NDArray[Any]

    @classmethod
    def of(cls, exp: Experiment) -> Groups:
        """Group the users of an experiment."""
        if exp.spec.family.cells is not None:
            data = cell_likelihood(exp)
            cells = data.cells
            condition = _conditions(exp, cells.x, None)
            if cells.by_value:  # each user is a group
                at = np.repeat(np.arange(cells.n_cells), cells.n.astype(np.int64))
                one = np.ones(len(at))
                mean = (cells.total / cells.n)[at]
                return cls(cells.cluster[at], data.x[at], one, mean, condition[at])
            return cls(cells.cluster, data.x, cells.n, cells.total, condition)
        return _from_moments(exp)

    @property
    def conditions(self) -> list[str]:
        """Conditions that occur."""
        return list(dict.fromkeys(self.condition.tolist()))

    @cached_property
    def n_clusters(self) -> int:
        """Number of clusters, J."""
        return int(self.cluster.max()) + 1

    @cached_property
    def n_of_cluster(self) -> Floats:
        """Number of users in each cluster; shape (J,)."""
        return np.bincount(self.cluster, self.n, self.n_clusters)

    def cluster_means(self, totals: Floats) -> Floats:
        """Return the cluster means from group totals (..., C); shape (..., J)."""
        return totals @ self._membership / self.n_of_cluster

    def condition_means(self, totals: Floats, condition: str) -> Floats:
        """Return the mean over a condition's users from totals (..., C); shape (...)."""
        there = self.condition == condition
        return totals[..., there].sum(axis=-1) / self.n[there].sum()

    @cached_property
    def _membership(self) -> Any:
        from scipy import sparse

        groups = np.arange(len(self.n))
        shape = (len(groups), self.n_clusters)
        return sparse.csr_array((np.ones(len(groups)), (groups, self.cluster)), shape)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Outcomes of S replicated experiments.

    Parameters
    ----------
    totals : ndarray, shape (S, C)
        Total outcome of each group.
    zeros, squares : ndarray, shape (S,), optional
        For counts: number of users whose outcome is 0, and sum of the squared outcomes.
    """

    totals: Floats
    zeros: Floats | None = None
    squares: Floats | None = None


def replicate(
    rng: np.random.Generator, exp: Experiment, groups: Groups, draws: ParameterDraws
) -> Replicates:
    """Draw one experiment for each draw of the parameters, which have one leading axis."""
    family, n = exp.spec.family, groups.n
    parts = []
    for part in _blocks(draws, len(n)):
        eta = _linear_predictor(rng, exp, groups, part)
        scale, shape = part.within_or_one[:, None], part.shape_or_one[:, None]
        if family.is_count:
            parts.append(_draw_counts(rng, family, eta, n, shape, len(draws.effects)))
        else:
            units = np.broadcast_to(n, eta.shape)
            parts.append((family.draw_totals(rng, eta, units, shape, scale),))
    return Replicates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def expected_means(
    rng: np.random.Generator, exp: Experiment, groups: Groups, draws: ParameterDraws
) -> Floats:
    """Return the expected means of new clusters, without the variation of users; (S, J)."""
    mean = exp.spec.family.link.mean
    parts = [
        groups.n * mean(_linear_predictor(rng, exp, groups, part))
        for part in _blocks(draws, len(groups.n))
    ]
    return np.concatenate([groups.cluster_means(totals) for totals in parts])


def _linear_predictor(
    rng: np.random.Generator, exp: Experiment, groups: Groups, part: ParameterDraws
) -> Floats:
    """Return linear predictors of new clusters; shape (S, C)."""
    between_sd = part.between_sd_of(groups.n_clusters)
    level = np.broadcast_to(part.level, between_sd.shape)
    eta = rng.normal(level, between_sd)[:, groups.cluster] + part.effects @ groups.x.T
    for i, name in enumerate(exp.spec.heterogeneity.slopes):
        assert part.slope_sd is not None
        deviation = rng.normal(0, part.slope_sd[:, i, None], between_sd.shape)
        eta += deviation[:, groups.cluster] * groups.x[:, exp.moments().column(name)]
    return eta


def _draw_counts(
    rng: np.random.Generator, family: Family, eta: Floats, n: Floats, shape: Floats, draws: int
) -> tuple[Floats, ...]:
    """Draw totals (S, C), and zeros and squares (S,) if the counts are small enough."""
    units = round(float(n.sum()))
    if units * draws <= MAX_UNITS_DRAWN:
        return _draw_units(rng, family, eta, n, shape)
    mean = family.link.mean(eta)
    assert family.variance is not None
    variance = family.variance(mean, shape)
    largest = float((mean + 12 * np.sqrt(variance)).max()) + 12
    if largest <= MAX_VALUES:
        return _draw_frequencies(rng, family, eta, n, shape, int(largest))
    return (family.draw_totals(rng, eta, np.broadcast_to(n, eta.shape), shape, 1.0),)


def _draw_units(
    rng: np.random.Generator, family: Family, eta: Floats, n: Floats, shape: Floats
) -> tuple[Floats, ...]:
    size = n.astype(np.int64)
    group = np.repeat(np.arange(len(n)), size)
    starts = np.concatenate([[0], np.cumsum(size)[:-1]])
    totals, zeros, squares = np.empty_like(eta), np.empty(len(eta)), np.empty(len(eta))
    for s in range(len(eta)):
        y = family.draw_units(rng, eta[s, group], shape[s], 1.0).astype(float)
        totals[s] = np.add.reduceat(y, starts)
        zeros[s], squares[s] = (y == 0).sum(), y @ y
    return totals, zeros, squares


def _draw_frequencies(
    rng: np.random.Generator, family: Family, eta: Floats, n: Floats, shape: Floats, largest: int
) -> tuple[Floats, ...]:
    """Draw the frequency of each value in each group: multinomial, for any group size."""
    from scipy import special

    density = density_of(family)
    value = np.arange(largest + 1.0)
    size = n.astype(np.int64)
    totals, zeros, squares = np.empty_like(eta), np.empty(len(eta)), np.empty(len(eta))
    for s in range(len(eta)):
        own = (
            0.0
            if density.outcome_term is None
            else density.outcome_term(np, value, shape[s], 1.0, special.gammaln)
        )
        p = np.exp(density.log_density(np, eta[s, :, None], 1.0, value, shape[s], 1.0) + own)
        counted = rng.multinomial(size, p / p.sum(axis=1, keepdims=True))
        totals[s] = counted @ value
        zeros[s], squares[s] = counted[:, 0].sum(), (counted @ value**2).sum()
    return totals, zeros, squares


def _blocks(draws: ParameterDraws, width: int) -> Iterator[ParameterDraws]:
    rows = max(1, BLOCK_ELEMENTS // width)
    for start in range(0, len(draws.effects), rows):
        yield draws[start : start + rows]


def _from_moments(exp: Experiment) -> Groups:
    """Split each cluster exactly by its binary regressors, using its moments."""
    m, data = exp.model_moments, gaussian_statistics(exp)
    design = exp.spec.design
    # For users with v = 1: sums of each variable, in its own unit.
    mean = np.column_stack([data.regressor_mean, data.outcome_mean])

    def sums(name: str) -> tuple[Floats, Floats]:
        at = m.column(name)
        n = m.n * mean[:, at]
        return n, m.cross[:, at, :] + n[:, None] * mean

    everyone = (m.n, m.n[:, None] * mean)
    none = (np.zeros_like(m.n), np.zeros_like(mean))
    binary = design.spillover is None or _is_binary(exp, "spillover")
    exposed = sums("spillover") if design.spillover and binary else none
    treated = sums("direct")
    both = sums("interaction") if design.interaction and binary else none
    parts = {  # (treated, exposed): by inclusion and exclusion
        (True, True): both,
        (True, False): tuple(a - b for a, b in zip(treated, both, strict=True)),
        (False, True): tuple(a - b for a, b in zip(exposed, both, strict=True)),
    }
    rest = [a - b - c + d for a, b, c, d in zip(everyone, treated, exposed, both, strict=True)]
    parts[False, False] = (rest[0], rest[1])
    cluster, n, total, treated_flag, exposed_flag = [], [], [], [], []
    for (is_treated, is_exposed), (count, sum_) in parts.items():
        there = np.flatnonzero(np.round(count) > 0)
        cluster.append(there)
        n.append(np.round(count[there]))
        total.append(sum_[there])
        treated_flag.append(np.full(len(there), is_treated))
        exposed_flag.append(np.full(len(there), is_exposed))
    size, summed = np.concatenate(n), np.concatenate(total)
    x = summed[:, :-1] / size[:, None]
    flags = np.column_stack([np.concatenate(treated_flag), np.concatenate(exposed_flag)])
    condition = _conditions(exp, x, flags if binary else flags[:, :1])
    return Groups(np.concatenate(cluster), x, size, summed[:, -1], condition)


def _is_binary(exp: Experiment, name: str) -> bool:
    """Whether a regressor in [0, 1] takes only 0 and 1; its variance is then m (1 - m)."""
    m, at = exp.moments(), exp.moments().column(name)
    mean = m.means[:, at]
    return bool(np.abs(m.cross[:, at, at] / m.n - mean * (1 - mean)).max() < 1e-9)


def _conditions(exp: Experiment, x: Floats, flags: NDArray[Any] | None) -> NDArray[Any]:
    """Name the exposure condition of groups with regressors x (C, p); see `data.conditions`."""
    design, names = exp.spec.design, exp.model_moments.names

    def column(name: str) -> Floats:
        return x[:, names.index(name)] if name in names else np.zeros(len(x))

    treated = column("direct") > 0.5 if flags is None else flags[:, 0].astype(bool)
    if flags is not None and flags.shape[1] == 1:  # the number of users with a dose is unknown
        return np.where(treated, "treated", "control")
    exposed = column("spillover") > 0 if flags is None else flags[:, 1].astype(bool)
    within = column("within_spillover") > 1e-9 if design.saturation else np.zeros(len(x), bool)
    return np.select(
        [treated & exposed, treated, exposed, within],
        ["direct_with_exposure", "direct", "spillover", "within_spillover"],
        "pure_control",
    )
