"""Posterior beside bootstrap and the rest: one table, one plot, one verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.display import Tidy, number
from ..bayes.exact.exact_posterior import ExactPosterior, exact_posterior, is_integrable
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from ..errors import DataError
from ..exposure.expose import exposure_of
from ..frequentist.cluster_bootstrap import BootstrapEstimates, cluster_bootstrap
from ..frequentist.cluster_influence import effective_clusters
from ..frequentist.estimates_record import COLUMNS
from ..frequentist.inverted_tests import ResamplingTest
from ..frequentist.randomization import randomization_test
from ..frequentist.standard_estimators import cluster_wls, naive_ols, two_exposure
from ..frequentist.wild_cluster_bootstrap import wild_bootstrap
from .estimands import estimand_draws, summarise
from .recommended_interval import recommend

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

#: Posterior and bootstrap agree where neither interval is wider by more than this factor ...
MAX_WIDTH_RATIO = 1.25
#: ... and the part that they share is at least this share of the part that either covers.
MIN_OVERLAP = 0.75


@dataclass(frozen=True)
class BiasAccounting(Tidy):
    """Where the naive estimate goes wrong: contamination and chance imbalance, apart.

    Parameters
    ----------
    naive : float
        Naive estimate.
    direct : float
        Two-exposure estimate of the direct effect.
    std_error : float
        Its cluster-robust standard error: the size that chance imbalance has in such a design.
    truth : float or None
        The direct effect that the data were made with, where it is known.

    Notes
    -----
    naive - truth = (naive - direct) + (direct - truth), exactly. The first part is contamination:
    by the omitted-variable identity it is the spillover estimate times the coefficient of the
    exposure's regression on the treatment, that is -(exposed share of control units) x spillover
    where there are no covariates. The second is chance: arms that differ in their baselines.
    """

    naive: float
    direct: float
    std_error: float
    truth: float | None = None

    @property
    def contamination(self) -> float:
        """Bias of the naive estimate from exposed controls."""
        return self.naive - self.direct

    @property
    def chance_imbalance(self) -> float:
        """Error of the two-exposure estimate from baselines and noise; NaN without a truth."""
        return np.nan if self.truth is None else self.direct - self.truth

    def to_dataframe(self) -> pd.DataFrame:
        """Return the account, a row a component: component, value, note."""
        unknown = f"not observable; its standard error is {number(self.std_error)}"
        known = (
            f"baselines and noise that differ between arms; expected SD {number(self.std_error)}"
        )
        truth = np.nan if self.truth is None else self.truth
        rows = [
            ("truth", truth, "unknown outside a simulation" if self.truth is None else ""),
            ("chance imbalance", self.chance_imbalance, unknown if self.truth is None else known),
            ("two-exposure estimate", self.direct, "truth + chance imbalance"),
            ("contamination", self.contamination, "control users are partly treated"),
            ("naive estimate", self.naive, "two-exposure estimate + contamination"),
        ]
        return pd.DataFrame(rows, columns=["component", "value", "note"])

    def __str__(self) -> str:
        words = (
            f"Exposed controls move the naive estimate by {_signed(self.contamination)} "
            f"(from {number(self.direct)} to {number(self.naive)})."
        )
        if self.truth is None:
            return (
                f"{words} Chance imbalance of the clusters' baselines adds an error that cannot be "
                f"seen; its standard error is {number(self.std_error)}."
            )
        return (
            f"{words} Chance imbalance of the clusters' baselines accounts for "
            f"{_signed(self.chance_imbalance)} more, against a truth of {self.truth:g}."
        )


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


@dataclass(frozen=True, eq=False)
class Comparison(Tidy):
    """All estimates side by side, with what follows from them.

    Parameters
    ----------
    estimates : DataFrame
        A row a method and effect, with the columns of every frequentist result; for the posterior,
        `estimate` is the mean and `std_error` the standard deviation.
    agreement : DataFrame
        Posterior against bootstrap, a row an effect: width_ratio (posterior over bootstrap),
        overlap (shared part of the intervals over the part that either covers), shift (difference
        of centres in bootstrap standard errors), agree, verdict.
    estimands : DataFrame
        Posterior summary of each estimand, see :func:`bayescluster.answers.estimands.summarise`.
    bias : BiasAccounting
        Why the naive estimate differs.
    bootstrap : BootstrapEstimates
        The bootstrap draws.
    posterior : DataTree
        The posterior.
    experiment : Experiment
        The experiment.
    truth : dict
        Effects that the data were made with, where known.
    skipped : dict
        Methods that this design does not allow, each with the reason.
    powerless : dict
        Methods that cannot reject at the specification's level, whatever the effect, with the
        reason.
    exact : ExactPosterior or None
        The same posterior by integration, where there is such an integral: an independent check of
        the sampler.
    """

    estimates: pd.DataFrame
    agreement: pd.DataFrame
    estimands: pd.DataFrame
    bias: BiasAccounting
    bootstrap: BootstrapEstimates
    posterior: xr.DataTree
    experiment: Experiment
    truth: Mapping[str, float]
    skipped: Mapping[str, str]
    powerless: Mapping[str, str] = field(default_factory=dict)
    exact: ExactPosterior | None = None

    @property
    def effects(self) -> list[str]:
        """The effects of the design, direct first."""
        return self.agreement["term"].tolist()

    @property
    def recommended(self) -> dict[str, tuple[str, str]]:
        """The frequentist interval to read first for each effect, and why: :func:`recommend`."""
        exp = self.experiment
        return {
            effect: self.recommend(effective_clusters(exp, effect), effect)
            for effect in self.effects
        }

    def recommend(self, clusters: float, effect: str = "direct") -> tuple[str, str]:
        """Return :func:`recommend`'s advice for one effect, passing over what is of no use here."""
        unusable = {
            name.removesuffix(f" of {effect}"): reason
            for name, reason in {**self.powerless, **self.skipped}.items()
        }
        return recommend(clusters, self.experiment.has_spillover, unusable, effect)

    def to_dataframe(self) -> pd.DataFrame:
        """Return `estimates`."""
        return self.estimates

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the forest plot: one panel an effect, a row a method; see `report.plots.forest`."""
        from ..figures.effects import forest

        return forest(self, figure)


def compare(
    exp: Experiment,
    posterior: xr.DataTree | None = None,
    *,
    bootstrap_draws: int = 10_000,
    within_arm: bool = False,
    seed: int = 0,
    truth: Mapping[str, float] | None = None,
    **sampling: Any,
) -> Comparison:
    """Estimate the effects by every method and set posterior and bootstrap side by side.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    posterior : DataTree, optional
        Result of :func:`fit`; sampled here where it is not given.
    bootstrap_draws : int
        Replicates of the cluster bootstrap.
    within_arm : bool
        Whether it resamples within the arms, so that with few clusters no replicate loses one.
    seed : int
        Seed of sampler and bootstrap.
    truth : mapping of str to float, optional
        Effects that the data were made with, by name, for simulated data.
    **sampling
        Further arguments of :func:`fit`, such as draws or chains.

    Returns
    -------
    Comparison
        Tables, verdicts and the forest plot.

    Examples
    --------
    >>> from bayescluster import Experiment, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = compare(exp, fit_exact(exp, seed=1), bootstrap_draws=500)
    >>> found.estimates["method"].iloc[[0, 1, -1]].tolist()
    ['naive OLS', 'two-exposure OLS, CR2', 'posterior']
    >>> found.agreement["term"].tolist()
    ['direct', 'spillover']
    """
    if posterior is None:
        from ..bayes.fit import fit

        posterior = fit(exp, seed=seed, **sampling)
    elif sampling:
        raise TypeError(f"{', '.join(sampling)} would sample again: give either these or posterior")
    check_posterior(exp, posterior, recorded=True)
    truth = dict(truth or {})
    effects = exp.spec.design.effects
    if unknown := set(truth) - set(effects):
        raise ValueError(f"truth names {sorted(unknown)}; valid names: {', '.join(effects)}")
    bootstrap = cluster_bootstrap(exp, draws=bootstrap_draws, seed=seed, within_arm=within_arm)
    estimands = summarise(estimand_draws(exp, posterior), exp.spec.report)
    naive, two = naive_ols(exp), two_exposure(exp)
    small, skipped, powerless = _small_sample(exp, seed)
    studentised = bootstrap.to_dataframe("percentile-t").iloc[: len(bootstrap.effects)]
    graph, left_out = _graph_based(exp, seed)
    skipped |= left_out
    tables = [naive.to_dataframe(), two.to_dataframe(), *graph, *small, bootstrap.to_dataframe()]
    exact = exact_posterior(exp) if is_integrable(exp.spec) else None
    tables += [studentised, *_exact_rows(exact, effects), _posterior_rows(estimands, effects)]
    estimates = pd.concat(tables, ignore_index=True)
    estimates = estimates[estimates["term"].isin(effects)]
    at = two.terms.index("direct")
    return Comparison(
        estimates=estimates.reset_index(drop=True),
        agreement=_agreement(bootstrap, estimands),
        estimands=estimands,
        bias=BiasAccounting(
            naive=float(naive.estimate[naive.terms.index("direct")]),
            direct=float(two.estimate[at]),
            std_error=float(two.std_error[at]),
            truth=truth.get("direct"),
        ),
        bootstrap=bootstrap,
        posterior=posterior,
        experiment=exp,
        truth=truth,
        skipped=skipped,
        powerless=powerless,
        exact=exact,
    )


def _small_sample(
    exp: Experiment, seed: int
) -> tuple[list[pd.DataFrame], dict[str, str], dict[str, str]]:
    """Return what holds with few clusters, what the design forbids, and what cannot reject in it.

    The latter two with the reason.
    """
    tables: list[pd.DataFrame] = []
    skipped: dict[str, str] = {}
    powerless: dict[str, str] = {}
    level = exp.spec.report.ci_prob
    wild = partial(wild_bootstrap, exp.moments(), seed=seed, ci_prob=level)
    methods: dict[str, Callable[[], Tidy]] = {
        "cluster WLS": partial(cluster_wls, exp),
        "randomisation test": partial(randomization_test, exp, seed=seed),
    }
    for effect in exp.spec.design.effects:
        methods[f"wild cluster bootstrap of {effect}"] = partial(wild, effect)
    for name, run in methods.items():
        try:
            result = run()
        except DataError as error:
            skipped[name] = str(error)
            continue
        tables.append(result.to_dataframe())
        if isinstance(result, ResamplingTest) and result.smallest_p_value > 1 - level:
            powerless[name] = (
                f"with {result.draws:,} {'possible' if result.enumerated else 'drawn'} "
                f"{'sign patterns' if name.startswith('wild') else 'assignments'} no p-value is "
                f"below {result.smallest_p_value:.2g}, so it cannot reject at {1 - level:.2g}"
            )
    return tables, skipped, powerless


def _graph_based(exp: Experiment, seed: int) -> tuple[list[pd.DataFrame], dict[str, str]]:
    """Return what only a collaboration graph allows, and what it does not allow here.

    Beside the regressions with and without the expected exposure, so that disagreement shows.
    """
    if exp.exposure is None:
        return [], {}
    from ..frequentist.conditional_randomization import spillover_test
    from ..frequentist.graph_estimators import (
        exposure_weighted_ols,
        hajek,
        horvitz_thompson,
        recentred_ols,
        unadjusted_ols,
    )

    methods: dict[str, Callable[[], Tidy]] = {
        "two-exposure OLS without expected exposure": partial(unadjusted_ols, exp),
        "recentred OLS": partial(recentred_ols, exp),
        "exposure-weighted OLS": partial(exposure_weighted_ols, exp),
        "Hajek contrast": partial(hajek, exp, seed=seed),
        "Horvitz-Thompson contrast": partial(horvitz_thompson, exp, seed=seed),
        "conditional randomisation test of spillover": partial(spillover_test, exp, seed=seed),
    }
    tables: list[pd.DataFrame] = []
    skipped: dict[str, str] = {}
    for name, run in methods.items():
        try:
            table = run().to_dataframe()
        except DataError as error:
            skipped[name] = str(error)
            continue
        if name.endswith("contrast") and exposure_of(exp).mapping.is_dose:
            table = table[table["term"] == "direct"]
            skipped[f"{name} of spillover"] = (
                "exposure is a dose: the contrast of any exposure with none is another effect than "
                "that per unit of exposure"
            )
        tables.append(table)
    return tables, skipped


def _posterior_rows(estimands: pd.DataFrame, effects: tuple[str, ...]) -> pd.DataFrame:
    rows = estimands[estimands["estimand"].isin(effects)]
    named = rows.rename(columns={"estimand": "term", "mean": "estimate", "sd": "std_error"})
    return named.assign(method="posterior", df=np.nan, p_value=np.nan)[COLUMNS]


def _exact_rows(exact: ExactPosterior | None, effects: tuple[str, ...]) -> list[pd.DataFrame]:
    if exact is None:
        return []
    found = exact.to_dataframe().rename(columns={"parameter": "term", "mean": "estimate"})
    named = found[found["term"].isin(effects)].rename(columns={"sd": "std_error"})
    rows = named.assign(method="posterior by integration", df=np.nan, p_value=np.nan)
    return [rows[COLUMNS]]


def _agreement(bootstrap: BootstrapEstimates, estimands: pd.DataFrame) -> pd.DataFrame:
    table = bootstrap.to_dataframe()
    rows = []
    for at, (estimator, term) in enumerate(zip(bootstrap.estimators, bootstrap.terms, strict=True)):
        if estimator == "two_exposure":
            ours = estimands[estimands["estimand"] == term].iloc[0]
            rows.append(_agree(term, ours, table.iloc[at]))
    return pd.DataFrame(rows)


def _agree(term: str, posterior: pd.Series, bootstrap: pd.Series) -> dict[str, Any]:
    """Compare two intervals of one effect."""
    low = np.array([posterior["ci_lower"], bootstrap["ci_lower"]])
    high = np.array([posterior["ci_upper"], bootstrap["ci_upper"]])
    width_ratio = float((high - low)[0] / (high - low)[1])
    shared = max(high.min() - low.max(), 0.0)
    overlap = float(shared / (high.max() - low.min())) if shared else 0.0
    shift = float((posterior["mean"] - bootstrap["estimate"]) / bootstrap["std_error"])
    agree = overlap >= MIN_OVERLAP and 1 / MAX_WIDTH_RATIO <= width_ratio <= MAX_WIDTH_RATIO
    return {
        "term": term,
        "width_ratio": width_ratio,
        "overlap": overlap,
        "shift": shift,
        "agree": agree,
        "verdict": _verdict(term, width_ratio, overlap, shift, agree, low, high),
    }


def _verdict(
    term: str,
    width_ratio: float,
    overlap: float,
    shift: float,
    agree: bool,
    low: np.ndarray,
    high: np.ndarray,
) -> str:
    wider = (
        "as wide as"
        if abs(width_ratio - 1) < 0.005
        else (f"{abs(width_ratio - 1):.0%} {'wider' if width_ratio > 1 else 'narrower'} than")
    )
    facts = (
        f"the posterior interval of the {term} effect is {wider} the bootstrap interval and they "
        f"share {overlap:.0%} of their joint range"
    )
    if not agree:
        causes = []
        if not 1 / MAX_WIDTH_RATIO <= width_ratio <= MAX_WIDTH_RATIO:
            causes.append("their widths differ: look at the number of clusters and the priors")
        if abs(shift) > 0.25 or not causes:
            causes.append(
                "their centres differ: look at the priors and at cluster sizes, since least "
                "squares weights clusters by size and the hierarchical model by precision"
            )
        return f"Posterior and bootstrap disagree: {facts}; {'; '.join(causes)}."
    excluding = int(((low > 0) | (high < 0)).sum())
    conclusion = ("neither excludes zero", "only one of them excludes zero", "both exclude zero")
    return f"Posterior and bootstrap agree: {facts}; {conclusion[excluding]}."
