"""The declared analysis repeated with another graph or exposure mapping."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._support.arrays import Booleans, Floats
from ..bayes.exact.exact_posterior import exact_posterior, is_integrable
from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from ..errors import BayesClusterError, DataError
from ..exposure.collaborators import Collaborators
from ..exposure.expose import Exposure
from ..exposure.mappings import ExposureMapping
from ..frequentist.graph_estimators import expected_column, recentred_ols, with_expected
from ..frequentist.ols import ols
from ..spec.model_spec import ModelSpec

#: Values reported for each effect.
VALUES = ("estimate", "lower", "upper", "std_error")


@dataclass(frozen=True)
class Reanalysed:
    """Results for one graph and mapping.

    Parameters
    ----------
    effects : dict
        `VALUES` by (estimator, effect); empty if nothing is identified.
    users : int
        Number of exposed untreated users.
    dose : dict of str to float
        Mean exposure of the exposed users, by effect.
    note : str
        Why nothing is identified, or the warnings of the estimators.
    """

    effects: dict[tuple[str, str], Floats]
    users: int
    dose: dict[str, float]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Reanalysis:
    """The declared analysis, prepared for repeats with another exposure.

    Parameters
    ----------
    declared : Exposure
        The declared exposure.
    exp : Experiment
        Its experiment, with the expected exposure among the covariates.
    X, y : ndarray, shape (n, p) and (n,)
        Regressors and outcome, NaN if unused.
    draws, seed : int
        Number and seed of the assignments drawn for probabilities without a closed form.
    """

    declared: Exposure
    exp: Experiment
    X: Floats
    y: Floats
    draws: int
    seed: int

    @classmethod
    def of(cls, declared: Exposure, draws: int, seed: int) -> Reanalysis:
        """Read the users' rows once; raise if the declared analysis itself is impossible."""
        exp = with_expected(declared.experiment())
        recentred_ols(exp)
        return cls(declared, exp, exp.regressors(), exp.outcomes(), draws, seed)

    def under(self, collaborators: Collaborators, mapping: ExposureMapping) -> Reanalysed:
        """Return the effects under another graph or mapping, or why there are none."""
        try:
            exposure = Exposure.of(
                collaborators,
                self.declared.assignment,
                mapping,
                self.declared.mechanism,
                interaction=self.declared.interaction,
                draws=self.draws,
                seed=self.seed,
            )
        except DataError as error:
            return Reanalysed({}, 0, {}, f"not identified: {error}")
        return self.of_exposure(exposure)

    def of_exposure(self, exposure: Exposure) -> Reanalysed:
        """Return the effects under an exposure, or why there are none."""
        used = np.isfinite(self.y)
        exposed = used & (exposure.value > 0)
        control, treated = exposed & ~exposure.treated, exposed & exposure.treated
        dose = {
            name: float(exposure.value[who].mean()) if who.any() else np.nan
            for name, who in (("spillover", control), ("interaction", treated))
        }
        users = int(control.sum())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                effects = dict(_estimates(self._moments(exposure, used), self.exp.spec))
            except BayesClusterError as error:
                return Reanalysed({}, users, dose, f"not identified: {error}")
        return Reanalysed(effects, users, dose, "; ".join({str(w.message) for w in caught}))

    def _moments(self, exposure: Exposure, used: Booleans) -> ClusterMoments:
        """Return moments of the users, with the columns that depend on exposure replaced."""
        known = self.exp.moments()
        columns = {
            "spillover": exposure.spillover,
            "interaction": exposure.treated * exposure.value,
            expected_column(self.exp): exposure.expected,
        }
        X = self.X.copy()
        for name, values in columns.items():
            if name in known.names:
                X[:, known.column(name)] = values
        collaborators = exposure.collaborators
        labels = collaborators.clusters[collaborators.cluster[used]]
        strata = None
        if known.strata is not None:
            strata = known.strata[np.searchsorted(known.clusters, labels)]
        return ClusterMoments.from_arrays(
            self.y[used], X[used], labels, known.names, outcome=known.outcome, strata=strata
        )


def _estimates(
    moments: ClusterMoments, spec: ModelSpec
) -> Iterator[tuple[tuple[str, str], Floats]]:
    """Yield `VALUES` of each estimator and effect."""
    found = ols(moments, "CR2", ci_prob=spec.report.ci_prob)
    for name in spec.design.effects:
        at = found.terms.index(name)
        values = [found.estimate[at], *found.ci[at], found.std_error[at]]
        yield ("recentred OLS, CR2", name), np.array(values)
    if is_integrable(spec):
        table = exact_posterior(Experiment.from_moments(moments, spec)).to_dataframe()
        table = table.set_index("parameter")[["mean", "ci_lower", "ci_upper", "sd"]]
        for name in spec.design.effects:
            yield ("posterior, integrated", name), table.loc[name].to_numpy(float)


def thinned(collaborators: Collaborators, keep: float, rng: np.random.Generator) -> Collaborators:
    """Return the graph with ties dropped at random, each user's side separately.

    Parameters
    ----------
    collaborators : Collaborators
        The graph.
    keep : float
        Probability that a collaborator is kept.
    rng : numpy.random.Generator
        Source of randomness.
    """
    count = rng.binomial(collaborators.count, keep)
    kept = count > 0
    return replace(
        collaborators,
        start=np.concatenate([[0], np.cumsum(kept)])[collaborators.start],
        other=collaborators.other[kept],
        count=count[kept].astype(np.int32),
        weight=(collaborators.weight * (count / collaborators.count))[kept],
    )
