"""The likelihood of cells, given draws of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..._support.arrays import BLOCK_ELEMENTS, Floats, Integers
from ...data.cell_counts import CellCounts
from ...spec.families import CellDensity, Family
from ..parameter_draws import ParameterDraws
from .cell_slopes import SlopesGroup
from .intercept_quadrature import (
    NODES,
    ROUNDING,
    TOLERANCE,
    ClusterCells,
    Layout,
    density_of,
    find_mode,
    integrated_log_likelihood,
)

#: Candidate numbers of nodes per dimension for integrating out slopes too, and the tolerated error
#: of the log-likelihood of all units.
SLOPES_NODES, SLOPES_TOLERANCE = (5, 7, 9, 11, 15, 21), 1e-4


@dataclass(frozen=True, eq=False)
class CellLikelihood:
    """Cells with their regressors on the model's scale.

    Parameters
    ----------
    family : Family
        The outcome's family.
    cells : CellCounts
        The data.
    x : ndarray, shape (C, p)
        Regressors of the cells; covariates are centred at their grand means.
    profiles : ClusterCells
        The cells by distinct cluster.
    slopes : tuple of str
        Names of the effects that vary between clusters.
    """

    family: Family
    cells: CellCounts
    x: Floats
    profiles: ClusterCells
    slopes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        family: Family,
        cells: CellCounts,
        center: Floats,
        group: Integers,
        slopes: tuple[str, ...] = (),
    ) -> CellLikelihood:
        """Lay out the cells by distinct cluster.

        Parameters
        ----------
        family : Family
            The outcome's family.
        cells : CellCounts
            The data.
        center : ndarray, shape (p,)
            Points at which regressors are centred.
        group : ndarray, shape (J,)
            Code of the stratum and arm that the prior of each cluster's intercept depends on.
        slopes : tuple of str
            Names of the effects that vary between clusters.
        """
        x = cells.x - center
        return cls(family, cells, x, ClusterCells.of(cells, x, group), slopes)

    @property
    def density(self) -> CellDensity:
        """The family's density of cells."""
        return density_of(self.family)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regressors."""
        return self.cells.names

    @cached_property
    def n(self) -> Floats:
        """Units per cluster; shape (J,)."""
        return np.bincount(self.cells.cluster, self.cells.n)

    @cached_property
    def outcome_mean(self) -> Floats:
        """Mean outcome of each cluster; shape (J,)."""
        return np.bincount(self.cells.cluster, self.cells.total) / self.n

    @cached_property
    def first(self) -> Integers:
        """One cluster of each profile; shape (K,)."""
        return np.unique(self.profiles.profile, return_index=True)[1]

    @cached_property
    def nodes(self) -> int:
        """Smallest number of nodes that integrates these data with error below `TOLERANCE`.

        Tested at plausible parameters (`between_sd` from half to twice the standard deviation of
        the smoothed cluster means), against twice the largest number of nodes.
        """
        reference = np.array([self._total(trial, 2 * NODES[-1] - 1) for trial in self._trials])
        tolerance = max(TOLERANCE, ROUNDING * np.abs(reference).max())
        for nodes in NODES:
            found = [self._total(trial, nodes) for trial in self._trials]
            if np.abs(np.array(found) - reference).max() < tolerance:
                return nodes
        return NODES[-1]

    @cached_property
    def slopes_nodes(self) -> int:
        """Smallest number of nodes per dimension that integrates out intercepts and slopes.

        Tested as for `nodes`, with `SLOPES_TOLERANCE`, against 1.5 times the largest number.
        """

        def total(nodes: int) -> Floats:
            found = [self._slopes_integrated(trial, nodes)[0] for trial in self._trials]
            return np.array(found) @ self.profiles.count

        reference = total(SLOPES_NODES[-1] * 3 // 2)
        for nodes in SLOPES_NODES:
            if np.abs(total(nodes) - reference).max() < SLOPES_TOLERANCE:
                return nodes
        return SLOPES_NODES[-1]

    @cached_property
    def _trials(self) -> list[ParameterDraws]:
        start = Layout.of(self.profiles, self.family).start
        spread = math.sqrt(np.cov(start, fweights=self.profiles.count.astype(int)))
        return [self._trial(max(0.1, factor * spread)) for factor in (0.5, 1.0, 2.0)]

    def _trial(self, between_sd: float) -> ParameterDraws:
        family = self.family
        mean = float(self.cells.total.sum() / self.cells.n.sum())
        if self.density.by_value:
            mean = float(np.median(self.profiles.median))
        level = family.link.of_mean(family.link.inside(mean, 1e-6))
        return ParameterDraws(
            level=np.full((1, 1), level),
            effects=np.zeros((1, len(self.names))),
            between_sd=np.array([between_sd]),
            within_sd=np.array([self.profiles.spread if family.has_within_sd else 1.0]),
            shape=np.array([family.extra.typical_value if family.extra else 1.0]),
            slope_sd=np.full((1, len(self.slopes)), between_sd) if self.slopes else None,
        )

    def _total(self, draws: ParameterDraws, nodes: int) -> float:
        return float(self._integrated(draws, nodes)[0] @ self.profiles.count)

    def log_likelihood(self, draws: ParameterDraws) -> Floats:
        """Return the log-density of each cluster's units, cluster effects integrated out.

        Returns
        -------
        ndarray, shape (..., J)
            Their sum over clusters is the log-density of all units.
        """
        from scipy import special

        def of_block(part: ParameterDraws) -> Floats:
            if self.slopes:
                values = self._slopes_integrated(part, self.slopes_nodes)
            else:
                values = self._integrated(part, self.nodes)
            values = values[:, self.profiles.profile]
            if self.density.outcome_term is None:
                return values
            shape, scale = part.shape_or_one[:, None], part.within_or_one[:, None]
            own = self.density.outcome_term(
                np, self._distinct_values, shape, scale, special.gammaln
            )
            return values + own @ self._value_counts

        return self._in_blocks(of_block, draws, self.profiles.n.size * self.nodes)

    @cached_property
    def _distinct_values(self) -> Floats:
        return np.unique(self.cells.value)

    @cached_property
    def _value_counts(self) -> Floats:
        """Number of occurrences of each distinct outcome in each cluster; shape (V, J), sparse."""
        from scipy import sparse

        at = np.searchsorted(self._distinct_values, self.cells.value)
        shape = (len(self._distinct_values), self.cells.n_clusters)
        return sparse.csr_array((self.cells.value_count, (at, self.cells.value_cluster)), shape)

    def _integrated(self, part: ParameterDraws, nodes: int) -> Floats:
        """Return log L_k for draws (B, ...); shape (B, K)."""
        level, between_sd, offset = self._by_profile(part)
        shape, scale = (x[:, None, None, None] for x in (part.shape_or_one, part.within_or_one))
        layout = Layout.of(self.profiles, self.family)
        size, width = layout.n.shape
        columns = max(1, BLOCK_ELEMENTS // (len(level) * width * nodes))
        blocks = []
        for at in (slice(first, first + columns) for first in range(0, size, columns)):
            cells = Layout(layout.n[at], layout.total[at], layout.start[at])
            priors = level[:, at], offset[:, at], between_sd[:, at]
            blocks.append(
                integrated_log_likelihood(self.family, cells, *priors, shape, scale, nodes)
            )
        return np.concatenate(blocks, axis=1)

    def _slopes_integrated(self, part: ParameterDraws, nodes: int) -> Floats:
        """Return log L_k for draws (B, ...), intercepts and slopes integrated out; shape (B, K)."""
        assert part.slope_sd is not None
        level, between_sd, offset = self._by_profile(part)
        values = np.empty(level.shape)
        for group in self._slopes_groups:
            values[:, group.at] = group.log_likelihood(
                self.family,
                level[:, group.at],
                offset[:, group.at],
                between_sd[:, group.at],
                part.slope_sd,
                part.shape_or_one,
                part.within_or_one,
                (self.nodes, nodes),
            )
        return values

    @cached_property
    def _slopes_groups(self) -> list[SlopesGroup]:
        at = [self.names.index(name) for name in self.slopes]
        return SlopesGroup.from_profiles(self.profiles, Layout.of(self.profiles, self.family), at)

    def _by_profile(self, part: ParameterDraws) -> tuple[Floats, Floats, Floats]:
        """Return level and between_sd of each profile (B, K), and x'b of each cell (B, K, P)."""
        level = part.level
        level = level[:, self.first] if level.shape[1] > 1 else level + 0 * self.first
        between_sd = part.between_sd_of(self.cells.n_clusters)[:, self.first]
        return level, between_sd, np.einsum("bi,kpi->bkp", part.effects, self.profiles.x)

    def draw_intercepts(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster intercepts given all other parameters; shape (..., J).

        Draws are exact, by rejection from an envelope that fits any log-concave density; it rejects
        three of four proposals (Devroye 1984, Computing 33: 247-257).
        """

        def of_block(part: ParameterDraws) -> Floats:
            level, between_sd, offset = (
                array[:, self.profiles.profile] for array in self._by_profile(part)
            )
            shape, scale = (x[:, None, None] for x in (part.shape_or_one, part.within_or_one))
            expanded = Layout.of(self.profiles, self.family, each_cluster=True)
            mode, _ = find_mode(self.family, expanded, level, offset, between_sd, shape, scale)
            log_mass = self._integrated(part, self.nodes)[:, self.profiles.profile]

            def log_density(a: Floats, row: Integers, column: Integers) -> Floats:
                values = self.density.log_density(
                    np,
                    a[:, None] + offset[row, column],
                    expanded.n[column],
                    expanded.total[column],
                    shape[row, 0],
                    scale[row, 0],
                ).sum(axis=-1)
                z = (a - level[row, column]) / between_sd[row, column]
                constant = np.log(between_sd[row, column]) + 0.5 * np.log(2 * np.pi)
                return values - 0.5 * z**2 - constant - log_mass[row, column]

            return _draw_log_concave(rng, log_density, mode)

        width = self.profiles.n.shape[1] * self.cells.n_clusters
        return self._in_blocks(of_block, draws, max(width, self.profiles.n.size * self.nodes))

    def draw_cluster_means(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster means of new experiments with the same design; shape (..., J)."""

        def of_block(part: ParameterDraws) -> Floats:
            groups = self.cells.n_clusters
            between_sd = part.between_sd_of(groups)
            level = np.broadcast_to(part.level, between_sd.shape)
            eta = rng.normal(level, between_sd)[:, self.cells.cluster] + part.effects @ self.x.T
            for i, name in enumerate(self.slopes):
                assert part.slope_sd is not None
                deviation = rng.normal(0, part.slope_sd[:, i, None], between_sd.shape)
                at = self.names.index(name)
                eta += deviation[:, self.cells.cluster] * self.x[:, at]
            shape, scale = (x[:, None] for x in (part.shape_or_one, part.within_or_one))
            with np.errstate(over="ignore"):
                n = np.broadcast_to(self.cells.n, eta.shape)
                totals = self.family.draw_totals(rng, eta, n, shape, scale)
            return totals @ self._membership / self.n

        return self._in_blocks(of_block, draws, self.cells.n_cells)

    @cached_property
    def _membership(self) -> Floats:
        """Indicator of each cell's cluster; shape (C, J), sparse."""
        from scipy import sparse

        cells = np.arange(self.cells.n_cells)
        shape = (self.cells.n_cells, self.cells.n_clusters)
        return sparse.csr_array((np.ones(len(cells)), (cells, self.cells.cluster)), shape)

    def _in_blocks(
        self, function: Callable[[ParameterDraws], Floats], draws: ParameterDraws, width: int
    ) -> Floats:
        """Apply a function to blocks of draws, with `width` numbers per draw; shape (..., J)."""
        lead = draws.shape_of_draws
        flat = draws.flattened()
        rows = max(1, BLOCK_ELEMENTS // width)
        size = len(flat.effects)
        blocks = [function(flat[start : start + rows]) for start in range(0, size, rows)]
        return np.concatenate(blocks).reshape(*lead, self.cells.n_clusters)


def _draw_log_concave(
    rng: np.random.Generator,
    log_density: Callable[[Floats, Integers, Integers], Floats],
    mode: Floats,
) -> Floats:
    """Draw one value from each of many normalised log-concave densities with known modes.

    In units of 1 / f(mode) from the mode, f <= f(mode) min(1, exp(1 - |z|)).
    """
    drawn = np.empty_like(mode)
    row, column = (at.ravel() for at in np.indices(mode.shape))
    log_peak = log_density(mode[row, column], row, column)
    while len(row):
        inside = rng.random(len(row)) < 0.5
        z = np.where(inside, rng.random(len(row)), 1 + rng.standard_exponential(len(row)))
        signed = np.where(rng.random(len(row)) < 0.5, z, -z)
        a = mode[row, column] + signed * np.exp(-log_peak)
        bound = log_peak + np.minimum(0.0, 1 - z)
        kept = np.log(rng.random(len(row))) + bound <= log_density(a, row, column)
        drawn[row[kept], column[kept]] = a[kept]
        row, column, log_peak = row[~kept], column[~kept], log_peak[~kept]
    return drawn
