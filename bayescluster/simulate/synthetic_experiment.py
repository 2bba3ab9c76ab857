"""Experiments with known parameters, simulated for any specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats, Integers
from ..spec.families import FAMILIES
from ..spec.model_spec import ModelSpec

if TYPE_CHECKING:
    from ..data.experiment import Experiment


#: Default values of the true parameters; on the link scale.
DEFAULT_PARAMETERS: dict[str, float] = {
    **{
        family.extra.name: family.extra.typical_value
        for family in FAMILIES.values()
        if family.extra
    },
    "overdispersion": 0.5,
    "intercept_mean": 0.0,
    "direct": 0.3,
    "spillover": 0.1,
    "interaction": -0.05,
    "within_spillover": 0.15,
    "between_sd": 0.3,
    "between_sd_treated": 0.3,
    "within_sd": 1.0,
    "direct_sd": 0.2,
    "spillover_sd": 0.2,
    "stratum_sd": 0.3,
    "covariate": 0.3,
    "pre_period": 0.6,
}


@dataclass(frozen=True)
class SyntheticExperiment:
    """A generator of data for a specification, with a known truth.

    Parameters
    ----------
    spec : ModelSpec
        Roles of the columns, and the model: family, effects, covariates and varying effects.
    n_clusters, cluster_size : int
        Number of clusters, and of units in each.
    exposed_share : float
        Share of units that are exposed to spillover (for an indicator), or mean dose.
    dose : bool
        Whether spillover is a dose in [0, 1], in steps of 0.1, rather than an indicator.
    saturations : tuple of float
        For a partial rollout: treated shares of the clusters, used in turn.
    categories : mapping of str to tuple of str
        Text covariates, with their levels; other covariates are normally distributed.
    scales : mapping of str to (float, float)
        Mean and standard deviation of numeric covariates; 0 and 1 by default. Columns whose names
        begin with "cluster_" have one value per cluster.
    parameters : mapping of str to float
        True values of the parameters; see `DEFAULT_PARAMETERS`. `covariate` and `pre_period` are
        slopes per standard deviation; the slope of a category is `covariate` times its position.

    Examples
    --------
    >>> spec = ModelSpec(
    ...     design={"cluster": "team", "treatment": "treated", "spillover": "exposed"},
    ...     outcome={"column": "converted", "family": "bernoulli"},
    ... )
    >>> SyntheticExperiment(spec, n_clusters=4, cluster_size=3).simulate(seed=1).columns.tolist()
    ['team', 'treated', 'exposed', 'converted']
    """

    spec: ModelSpec
    n_clusters: int = 40
    cluster_size: int = 50
    exposed_share: float = 0.3
    dose: bool = False
    saturations: tuple[float, ...] = (0.0, 0.3, 0.7)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.parameters) - set(DEFAULT_PARAMETERS):
            raise ValueError(
                f"unknown parameters {sorted(unknown)}; there are {', '.join(DEFAULT_PARAMETERS)}"
            )

    @property
    def truth(self) -> dict[str, float]:
        """True values of all parameters."""
        given = {**DEFAULT_PARAMETERS, **self.parameters}
        if "between_sd_treated" not in self.parameters:
            given["between_sd_treated"] = given["between_sd"]
        return given

    def true_parameters(self, exp: Experiment) -> dict[str, float]:
        """Return the true values under the posterior's names, for an experiment simulated here.

        Parameters
        ----------
        exp : Experiment
            Provides the covariates' means, which define the model's intercept, and the reference
            levels of categories.

        Returns
        -------
        dict of str to float
            ``between_sd[control]`` and ``between_sd[treated]`` if it differs by arm. With strata,
            ``intercept_mean`` is missing, because it depends on the stratum effects drawn.
        """
        truth, spec, moments = self.truth, self.spec, exp.moments()
        mean = dict(zip(moments.variables, moments.grand_means, strict=True))
        found = {name: truth[name] for name in spec.design.effects}
        intercept = truth["intercept_mean"]
        for name in spec.outcome.adjusted_for:
            slope, origin = self._slope(name)
            if name not in self.categories:
                found[name] = slope
                intercept += slope * (mean[name] - origin)
                continue
            values = {level: slope * i for i, level in enumerate(sorted(self.categories[name]))}
            there = {level: f"{name}[{level}]" for level in values}
            (reference,) = (values[level] for level in values if there[level] not in mean)
            others = {there[level]: value - reference for level, value in values.items()}
            found |= {column: value for column, value in others.items() if column in mean}
            intercept += reference + sum(
                value * mean[column] for column, value in others.items() if column in mean
            )
        if not spec.design.strata:
            found["intercept_mean"] = float(intercept)
        if spec.heterogeneity.between_sd_by_arm:
            found["between_sd[control]"] = truth["between_sd"]
            found["between_sd[treated]"] = truth["between_sd_treated"]
        else:
            found["between_sd"] = truth["between_sd"]
        names = [f"{name}_sd" for name in spec.heterogeneity.slopes]
        return found | {name: truth[name] for name in (*names, *spec.family.parameters)}

    def simulate(self, seed: int | None = 0) -> pd.DataFrame:
        """Draw one experiment as a table of units, with the specification's columns."""
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(self.n_clusters), self.cluster_size)
        columns = self._design(rng, cluster)
        covariates = self._covariates(rng, cluster)
        eta = self._linear(rng, cluster, columns, covariates)
        design, outcome = self.spec.design, self.spec.outcome
        names = {role: getattr(design, role) for role in columns}
        table = {names[role]: values for role, values in columns.items() if names[role]}
        if design.unit:
            table = {design.unit: np.arange(len(cluster)), **table}
        return pd.DataFrame({**table, **covariates, outcome.column: self._outcome(rng, eta)})

    def _design(self, rng: np.random.Generator, cluster: Integers) -> dict[str, Any]:
        design = self.spec.design
        columns: dict[str, Any] = {"cluster": cluster}
        if design.level == "unit":
            share = np.resize(self.saturations, self.n_clusters)[cluster]
            columns["treatment"] = (rng.random(len(cluster)) < share).astype(int)
            columns["saturation"] = share
        elif design.strata:
            pair = np.arange(self.n_clusters) // 2
            first = rng.integers(0, 2, self.n_clusters // 2 + 1)[pair]
            treated = (np.arange(self.n_clusters) % 2 == first).astype(int)
            columns |= {"strata": pair[cluster], "treatment": treated[cluster]}
        else:
            treated = np.zeros(self.n_clusters, dtype=int)
            treated[rng.permutation(self.n_clusters)[: self.n_clusters // 2]] = 1
            columns["treatment"] = treated[cluster]
        if design.spillover:
            exposed = rng.binomial(1, self.exposed_share, len(cluster)).astype(float)
            if self.dose:
                exposed = rng.binomial(10, self.exposed_share, len(cluster)) / 10
            eligible = 1 if design.interaction else 1 - columns["treatment"]
            columns["spillover"] = exposed * eligible
        return columns

    def _covariates(self, rng: np.random.Generator, cluster: Integers) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in self.spec.outcome.adjusted_for:
            mean, sd = self.scales.get(name, (0.0, 1.0))
            if name in self.categories:
                values[name] = rng.choice(self.categories[name], len(cluster))
            elif name.startswith("cluster_"):
                values[name] = mean + sd * rng.standard_normal(self.n_clusters)[cluster]
            else:
                values[name] = mean + sd * rng.standard_normal(len(cluster))
        return values

    def _linear(
        self,
        rng: np.random.Generator,
        cluster: Integers,
        columns: Mapping[str, Any],
        covariates: Mapping[str, Any],
    ) -> Floats:
        truth, design = self.truth, self.spec.design
        treated = columns["treatment"]
        arm = np.maximum.reduceat(treated, np.arange(0, len(cluster), self.cluster_size))
        sd = np.where(arm == 1, truth["between_sd_treated"], truth["between_sd"])
        baseline = truth["intercept_mean"] + sd * rng.standard_normal(self.n_clusters)
        if design.strata:
            pairs = int(columns["strata"].max()) + 1
            stratum = truth["stratum_sd"] * rng.standard_normal(pairs)
            baseline = baseline + stratum[columns["strata"][:: self.cluster_size]]
        eta = baseline[cluster]
        for name in design.effects:
            regressor = {
                "direct": treated,
                "spillover": columns.get("spillover"),
                "interaction": treated * columns.get("spillover", 0),
                "within_spillover": (1 - treated) * columns.get("saturation", 0),
            }[name]
            effect = np.full(self.n_clusters, truth[name])
            if name in self.spec.heterogeneity.slopes:
                effect = effect + truth[f"{name}_sd"] * rng.standard_normal(self.n_clusters)
            eta = eta + effect[cluster] * regressor
        for name, values in covariates.items():
            slope, origin = self._slope(name)
            if name in self.categories:
                values = np.searchsorted(np.sort(self.categories[name]), values)
            eta = eta + slope * (values - origin)
        return eta

    def _slope(self, covariate: str) -> tuple[float, float]:
        """Return a covariate's slope in its own unit (a category: per position), and its zero."""
        is_before = covariate == self.spec.outcome.pre_period
        mean, sd = self.scales.get(covariate, (0.0, 1.0))
        return self.truth["pre_period" if is_before else "covariate"] / sd, mean

    def _outcome(self, rng: np.random.Generator, eta: Floats) -> Any:
        family, truth = self.spec.family, self.truth
        shape = truth[family.extra.name] if family.extra else None
        scale = truth["within_sd"] if family.has_within_sd else None
        return family.draw_units(rng, eta, shape, scale)
