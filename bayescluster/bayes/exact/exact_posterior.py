"""The Gaussian hierarchical posterior by integration: no sampler, no compilation.

Given the two standard deviations, all other parameters are Gaussian
(:mod:`..gaussian.conditional_posterior`), so the posterior is a two-dimensional integral
(:mod:`.sd_grid`), with further sums for Student's t priors (:mod:`.student_priors`). See Gelman et
al. (2013), Bayesian Data Analysis, 3rd edition,
section 5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..._support.arrays import Floats, Integers
from ..._support.tidy import Tidy
from ...data.experiment import Experiment
from ...errors import FitError
from ...spec.model_spec import DEFAULT_CI_PROB, ModelSpec
from ...spec.priors import Prior
from ..gaussian.conditional_posterior import Conditional, solve
from ..gaussian.gaussian_likelihood import GaussianStatistics
from ..model_inputs import gaussian_statistics, resolved_priors
from . import sd_grid as quadrature
from .independent_draws import draw_locations, draw_scales, draw_strata
from .marginal_distributions import GridMarginal, Marginal, NormalMixture
from .student_priors import Mixing

Map = Callable[[Floats], Floats]

#: Share of the posterior below which a component may be ignored, and that all ignored components
#: may hold together.
LEAST_WEIGHT, LEFT_OUT = 1e-15, 1e-10
#: Smaller standard deviations are replaced by this.
LEAST_SD = 1e-300
#: Columns of `ExactPosterior.to_dataframe`.
COLUMNS = ("parameter", "mean", "sd", "ci_lower", "ci_upper", "ci_prob")


def is_integrable(spec: ModelSpec) -> bool:
    """Whether the parameters other than two standard deviations are Gaussian given these two."""
    varying = spec.heterogeneity
    closed = spec.family.cells is None
    return closed and not varying.slopes and not varying.between_sd_by_arm


def exact_posterior(exp: Experiment) -> ExactPosterior:
    """Integrate the posterior of an experiment.

    Parameters
    ----------
    exp : Experiment
        Data and specification.

    Returns
    -------
    ExactPosterior
        Means, SDs, quantiles and draws of each parameter, and the log-evidence.

    Raises
    ------
    FitError
        If the model cannot be built, its posterior is not such an integral (see `is_integrable`),
        or the integral does not converge.

    Examples
    --------
    >>> from bayescluster.simulate.spillover_scenario import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=100)
    >>> exp = Experiment.from_moments(scenario.simulate_moments(seed=1), scenario.spec)
    >>> list(exact_posterior(exp).mean)
    ['intercept_mean', 'direct', 'spillover', 'between_sd', 'within_sd']
    """
    if not is_integrable(exp.spec):
        raise FitError(
            f"the posterior of this {exp.spec.outcome.family} model is not a two-dimensional "
            "integral: that needs a gaussian or lognormal outcome, one between_sd, and effects "
            "that are the same in every cluster; use fit"
        )
    moments = exp.moments()
    return ExactPosterior.of(
        gaussian_statistics(exp),
        resolved_priors(exp),
        stratum=moments.stratum_code,
        stratum_levels=moments.stratum_levels,
        ci_prob=exp.spec.report.ci_prob,
    )


@dataclass(frozen=True, eq=False)
class Nodes:
    """The posterior as a mixture of K Gaussian distributions of the d locations.

    Parameters
    ----------
    weight : ndarray, shape (K,)
        Posterior probabilities.
    between_sd, within_offset : ndarray, shape (K,)
        tau, and log sigma minus the conditional's `log_sd`.
    mean : ndarray, shape (d, K)
        Conditional means of the locations, minus the conditional's reference.
    cov : ndarray, shape (d, d, K)
        Conditional covariance matrices.
    """

    weight: Floats
    between_sd: Floats
    within_offset: Floats
    mean: Floats
    cov: Floats


@dataclass(frozen=True, eq=False)
class ExactPosterior(Tidy):
    """The posterior by deterministic integration.

    The grid is refined until doubling its step changes the log-evidence by less than 1e-8, and each
    mean and SD by less than 1e-6 posterior SDs. Halving a step squares the error, so the actual
    error is far smaller.

    Parameters
    ----------
    conditional : Conditional
        The Gaussian part.
    mixing : Mixing
        Nodes of Student's t priors.
    between_prior, within_prior : Prior
        Priors of the standard deviations, in the outcome's unit.
    grid : Grid
        Log-density of the standard deviations.
    locations : tuple of str
        Names of intercept_mean and the effects, in the specification's order.
    stratum_levels : ndarray, shape (S,)
        Labels of the strata; empty without stratum effects.
    ci_prob : float
        Level of the intervals in the table.
    """

    conditional: Conditional
    mixing: Mixing
    between_prior: Prior
    within_prior: Prior
    grid: quadrature.Grid
    locations: tuple[str, ...]
    stratum_levels: NDArray[Any] = field(default_factory=lambda: np.array([]))
    ci_prob: float = DEFAULT_CI_PROB

    @classmethod
    def of(
        cls,
        data: GaussianStatistics,
        priors: Mapping[str, Prior],
        *,
        stratum: Integers | None = None,
        stratum_levels: NDArray[Any] | None = None,
        ci_prob: float = DEFAULT_CI_PROB,
    ) -> ExactPosterior:
        """Integrate the posterior given statistics and priors.

        Parameters
        ----------
        data : GaussianStatistics
            The data.
        priors : mapping of str to Prior
            Prior of intercept_mean, of each regressor, of between_sd and within_sd, and (with
            strata) of stratum_effect; in the outcome's own unit.
        stratum : ndarray, shape (J,), optional
            Code of each cluster's stratum, 0 to S - 1.
        stratum_levels : ndarray, shape (S,), optional
            Labels of the strata.
        ci_prob : float
            Level of the intervals in the table.

        Raises
        ------
        FitError
            If the integral does not converge.
        """
        conditional = Conditional.of(data, priors, stratum)
        names, reference = conditional.names, conditional.reference
        student = [priors[name] for name in names if priors[name].distribution == "student_t"]
        mixing = Mixing.of(student, reference)
        scales = (priors["between_sd"], priors["within_sd"])
        scan, rough = _scan(data, conditional, scales)
        if student:
            around = quadrature.around_mode(
                partial(_field, conditional, mixing, scales), scan, rough
            )
            mixing = mixing.adapted(conditional.evaluate(np.exp(around[0]), around[1])[1])
        grid = quadrature.integrate(
            partial(_field, conditional, mixing, scales),
            partial(_moments, mixing),
            scan,
            rough,
        )
        levels = np.arange(len(conditional.starts)) if stratum_levels is None else stratum_levels
        used = levels if "stratum_effect" in priors else levels[:0]
        locations = ("intercept_mean", *data.names)
        return cls(conditional, mixing, *scales, grid, locations, used, ci_prob)

    @property
    def log_evidence(self) -> float:
        """Log of the marginal likelihood of all units."""
        return self.grid.log_integral

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters; a stratum's effect is stratum_effect[label]."""
        strata = [f"stratum_effect[{level}]" for level in self.stratum_levels]
        return (*self.locations, *strata, "between_sd", "within_sd")

    @cached_property
    def mean(self) -> dict[str, float]:
        """Posterior mean of each parameter."""
        return {name: self.marginal(name).mean for name in self.parameters}

    @cached_property
    def sd(self) -> dict[str, float]:
        """Posterior standard deviation of each parameter."""
        return {name: self.marginal(name).sd for name in self.parameters}

    def quantile(self, prob: ArrayLike) -> dict[str, Floats]:
        """Return each parameter's quantiles at `prob`, with the shape of `prob`."""
        return {name: self.marginal(name).quantile(prob) for name in self.parameters}

    def marginal(self, name: str) -> Marginal:
        """Return the marginal posterior of one of `parameters`: mean, sd, cdf, pdf, quantile.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        grid, log_sd = self.grid, self.conditional.log_sd
        match name:
            case "between_sd":
                return GridMarginal(grid.u, grid.weight.sum(axis=1), *between_map(grid.center))
            case "within_sd":
                return GridMarginal(grid.offset, grid.weight.sum(axis=0), *within_map(log_sd))
            case _ if name in self.conditional.names:
                return self.combination({name: 1.0})
            case _ if name in self.parameters:
                at = self.parameters.index(name) - len(self.locations)
                location, scale = (part[at] for part in self._strata)
                return NormalMixture(self.nodes.weight, location, scale)
        raise ValueError(f"no parameter {name!r}; there are {', '.join(self.parameters)}")

    def combination(self, weights: Mapping[str, float]) -> NormalMixture:
        """Return the marginal posterior of a weighted sum of intercept_mean and effects.

        Parameters
        ----------
        weights : mapping of str to float
            Weight of each location, by name.

        Raises
        ------
        ValueError
            If a name is not one of `locations`.
        """
        names = self.conditional.names
        if unknown := set(weights) - set(names):
            raise ValueError(
                f"no location {', '.join(sorted(unknown))}; there are {', '.join(self.locations)}"
            )
        at, w = [names.index(name) for name in weights], np.array(list(weights.values()))
        location = w @ (self.conditional.reference[at, None] + self.nodes.mean[at])
        variance = np.einsum("a,abk,b->k", w, self.nodes.cov[np.ix_(at, at)], w)
        return NormalMixture(self.nodes.weight, location, np.sqrt(variance))

    @cached_property
    def nodes(self) -> Nodes:
        """The posterior as a mixture of Gaussian distributions of the locations."""
        weight = self.grid.weight.ravel()
        held = np.flatnonzero(weight > LEAST_WEIGHT)
        augmented = _square(self.grid.fields.reshape(len(self.grid.fields), -1)[:, held])
        parts = []
        for part in self.mixing.parts(len(held)):
            share = weight[held[part]] * self.mixing.shares(augmented[..., part])
            node, at = np.nonzero(share > LEAST_WEIGHT)
            parts.append((share[node, at], node, np.arange(len(held))[part][at]))
        share, node, at = (np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.argsort(share)
        kept = order[share[order].cumsum() > LEFT_OUT]
        share, node, at = share[kept], node[kept], at[kept]
        mean, cov = solve(self.mixing.add(augmented[..., at], self.mixing.precision[:, node]))
        point = held[at]
        i, j = np.unravel_index(point, self.grid.log_density.shape)
        return Nodes(
            weight=share / share.sum(),
            between_sd=np.exp(self.grid.log_tau[i]),
            within_offset=self.grid.offset[j],
            mean=mean,
            cov=cov,
        )

    @cached_property
    def _strata(self) -> tuple[Floats, Floats]:
        """Conditional means and SDs of the stratum effects at the nodes; each of shape (S, K)."""
        return self.conditional.stratum_marginals(
            self.nodes.between_sd, self.nodes.within_offset, self.nodes.mean, self.nodes.cov
        )

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Return independent draws from the posterior.

        The standard deviations are drawn by rejection from the exact density (the proposal is its
        bilinear interpolant), all else from its exact conditional. With Student's t priors, Gibbs
        steps, which preserve the posterior, remove the remaining error of the rule in `mixing`.

        Parameters
        ----------
        n : int
            Number of draws.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        dict of ndarray
            Draws of shape (n,) by parameter; stratum_effect, if there are strata, is (n, S).
        """
        scales = self.between_prior, self.within_prior
        integrand = partial(_field, self.conditional, self.mixing, scales)
        log_tau, offset, fields = draw_scales(self.grid, integrand, n, rng)
        b = draw_locations(self.mixing, _square(fields), rng)
        between = np.exp(log_tau)
        values = self.conditional.reference[:, None] + b
        named = dict(zip(self.conditional.names, values, strict=True))
        drawn = {name: named[name] for name in self.locations}
        if len(self.stratum_levels):
            drawn["stratum_effect"] = draw_strata(self.conditional, between, offset, b, rng)
        drawn["between_sd"] = between
        drawn["within_sd"] = np.exp(self.conditional.log_sd + offset)
        return drawn

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per parameter: parameter, mean, sd, ci_lower, ci_upper, ci_prob.

        The intervals are equal-tailed with level `ci_prob`.
        """
        return self.summary({name: self.marginal(name) for name in self.parameters})

    def summary(self, marginals: Mapping[str, Marginal]) -> pd.DataFrame:
        """Return the rows of `to_dataframe` for any marginals, such as combinations, by name."""
        tail = (1 - self.ci_prob) / 2
        rows = []
        for name, marginal in marginals.items():
            lower, upper = marginal.quantile([tail, 1 - tail])
            rows.append([name, marginal.mean, marginal.sd, lower, upper, self.ci_prob])
        return pd.DataFrame(rows, columns=list(COLUMNS))


def between_map(center: float) -> tuple[Map, Map, Map]:
    """Return the map from u to tau, its inverse and its derivative."""

    def forward(u: Floats) -> Floats:
        return np.exp(quadrature.log_tau(center, u))

    def backward(tau: Floats) -> Floats:
        return quadrature.to_u(center, np.log(np.maximum(tau, LEAST_SD)))

    return forward, backward, lambda u: forward(u) * (1 + np.exp(-u))


def within_map(log_sd: float) -> tuple[Map, Map, Map]:
    """Return the map from l to sigma, its inverse and its derivative."""

    def forward(offset: Floats) -> Floats:
        return np.exp(offset + log_sd)

    def backward(sigma: Floats) -> Floats:
        return np.log(np.maximum(sigma, LEAST_SD)) - log_sd

    return forward, backward, forward


def _field(
    conditional: Conditional,
    mixing: Mixing,
    scales: tuple[Prior, Prior],
    log_tau: Floats,
    offset: Floats,
) -> tuple[Floats, Floats]:
    """Return the log-density of (log tau, l) with the data, and A; (K,) and ((d + 1)^2, K)."""
    between, log_sigma = np.exp(log_tau), offset + conditional.log_sd
    log_scale, augmented = conditional.evaluate(between, offset)
    log_density = mixing.log_density(log_scale, augmented)
    log_density += scales[0].log_density(between) + log_tau
    log_density += scales[1].log_density(np.exp(log_sigma)) + log_sigma
    return log_density, augmented.reshape(-1, len(offset))


def _moments(
    mixing: Mixing, log_tau: Floats, offset: Floats, fields: Floats
) -> tuple[Floats, Floats]:
    """Return conditional means and variances of the locations, of tau and of sigma's ratio."""
    mean, variance = mixing.moments(_square(fields))
    scales = np.exp(np.stack([log_tau, offset]))
    return np.concatenate([mean, scales]), np.concatenate([variance, np.zeros_like(scales)])


def _square(fields: Floats) -> Floats:
    k = round(len(fields) ** 0.5)
    return fields.reshape(k, k, -1)


def _scan(
    data: GaussianStatistics, conditional: Conditional, scales: tuple[Prior, Prior]
) -> tuple[tuple[Floats, Floats], tuple[float, float]]:
    """Return the values of log tau and l to scan, and their rough standard deviations."""
    means = np.log(np.std(data.outcome_mean))
    prior = scales[0].parameters
    typical = np.log(prior.get("sigma") or prior.get("mean") or prior["median"])
    low, high = min(means, typical) - 9, max(means, typical) + 4
    rough = (2 / len(data.n)) ** 0.5, (2 * data.within_df) ** -0.5
    offsets = rough[1] * np.array([-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0])
    return (np.arange(low, high, 0.5), offsets), rough
