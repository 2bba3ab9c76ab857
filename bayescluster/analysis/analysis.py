"""The complete analysis, from data and a specification to estimates, checks and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._support.calls_to_figures_and_report import write
from .._support.progress import step
from .._support.tidy import Tidy
from ..answers.method_comparison import Comparison, compare
from ..data.experiment import Experiment
from ..spec.model_spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

    from ..answers.rollout import Rollout
    from ..assignment.mechanisms import Mechanism
    from ..checks.arm_balance import Balance
    from ..checks.five_assumptions import ClusterLevels
    from ..checks.leave_one_out import LeaveOneOut
    from ..checks.predictive_check import PredictiveCheck
    from ..checks.sensitivity_to_priors import PowerScaling, PriorSensitivity
    from ..decisions.decision import Decision


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Tidy):
    """The complete analysis of one experiment.

    Parameters
    ----------
    experiment : Experiment
        Validated data with their specification.
    comparison : Comparison
        Estimates of every method side by side.
    checks : DataFrame
        Columns about, check, value, verdict, advice; see :func:`diagnose`.
    """

    experiment: Experiment
    comparison: Comparison
    checks: pd.DataFrame

    @property
    def estimates(self) -> pd.DataFrame:
        """Direct and spillover effect by every method, one row each."""
        return self.comparison.estimates

    @property
    def posterior(self) -> xr.DataTree:
        """The posterior; see :func:`bayescluster.fit`."""
        return self.comparison.posterior

    @property
    def spec(self) -> ModelSpec:
        """The specification."""
        return self.experiment.spec

    @cached_property
    def decision(self) -> Decision:
        """What to do about each effect, and why; see :func:`decide`."""
        from ..decisions.decision import decide

        return decide(
            self.experiment, self.posterior, comparison=self.comparison, checks=self.checks
        )

    @cached_property
    def rollout(self) -> Rollout:
        """Projected change at each treated share; see :func:`rollout`."""
        from ..answers.rollout import rollout

        return rollout(self.experiment, self.posterior)

    @cached_property
    def predictive(self) -> PredictiveCheck:
        """Predictions of the model beside the data; see :func:`posterior_predictive_check`."""
        from ..checks.predictive_check import posterior_predictive_check

        return posterior_predictive_check(self.experiment, self.posterior)

    @cached_property
    def balance(self) -> Balance | None:
        """Covariate balance of the arms; None if there is no mechanism to test against."""
        from ..checks.five_assumptions import balance_of

        return balance_of(self.experiment)

    @cached_property
    def cluster_levels(self) -> ClusterLevels:
        """The clusters' intercepts, by arm."""
        from ..checks.five_assumptions import cluster_levels

        return cluster_levels(self.experiment, self.posterior)

    @property
    def lights(self) -> pd.DataFrame:
        """The worst verdict on each assumption and on the computation."""
        from ..checks.check_registry import lights

        return lights(self.checks)

    @cached_property
    def loo(self) -> LeaveOneOut:
        """Leave-one-cluster-out check; see :func:`loo`."""
        from ..checks.leave_one_out import loo

        return loo(self.posterior)

    @cached_property
    def power_scaling(self) -> PowerScaling:
        """Sensitivity of the posterior to priors and data; see :func:`power_scaling`."""
        from ..checks.sensitivity_to_priors import power_scaling

        return power_scaling(self.experiment, self.posterior)

    @cached_property
    def prior_sensitivity(self) -> PriorSensitivity:
        """Effects refitted under other priors; see :func:`prior_sensitivity`.

        Refits by sampling take 500 draws, half of the default.
        """
        from ..bayes.exact.exact_posterior import is_integrable
        from ..bayes.fit import fit
        from ..checks.sensitivity_to_priors import prior_sensitivity

        if is_integrable(self.spec):
            return prior_sensitivity(self.experiment)
        refit = partial(fit, draws=500, tune=500, progressbar=False)
        return prior_sensitivity(self.experiment, self.posterior, fitter=refit)

    @property
    def conclusions(self) -> list[str]:
        """The answer in sentences; every number is in the tables."""
        return write("first_screen.conclusions", self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return `estimates`."""
        return self.estimates

    def report(self, path: str | Path) -> Path:
        """Write the report; the file appears only once it is complete.

        Parameters
        ----------
        path : str or Path
            ``.html`` for one self-contained page with all plots, ``.md`` for text and tables in a
            pull request, ``.json`` for a pipeline.

        Raises
        ------
        ValueError
            If the file name ends in anything else.
        OSError
            If the file cannot be written.
        """
        return write("report_files.write_report", self, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return all results as plain lists, dictionaries, numbers and text, ready for JSON.

        Keys title, question, decision, conclusions, effects, lights, checks, estimates, agreement,
        estimands, convergence, specification, provenance. Numbers are unrounded, and None if
        missing.
        """
        return write("json_results.as_dict", self)

    def __repr__(self) -> str:
        return f"Analysis({self.experiment!r})"

    def __str__(self) -> str:
        return "\n".join([f"{self.spec.title}", *(f"- {text}" for text in self.conclusions)])

    def _repr_html_(self) -> str:
        return write("html_page.card", self)


def analyze(
    data: Any,
    spec: ModelSpec,
    *,
    bootstrap_draws: int = 10_000,
    draws: int = 1_000,
    tune: int = 1_000,
    chains: int = 4,
    seed: int = 0,
    truth: Mapping[str, float] | None = None,
    mechanism: Mechanism | None = None,
    edges: Any = None,
    progressbar: bool = True,
) -> Analysis:
    """Read and validate the data, fit the model, and compare and check all methods.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        See :class:`Experiment`.
    spec : ModelSpec
        Specification of the model and the report.
    bootstrap_draws : int
        Replicates of the cluster bootstrap.
    draws, tune, chains : int
        See :func:`fit`.
    seed : int
        Seed of the sampler and the bootstrap. Within one process, the same data, specification,
        seed and versions give the same result. Between processes the compiled gradient may differ
        in its last bits, and the chains then differ within Monte Carlo error.
    truth : mapping of str to float, optional
        True effects, for simulated data.
    mechanism : Mechanism, optional
        Mechanism that assigned the clusters, if the specification does not name it; see
        :class:`Experiment`.
    edges : DataFrame, Table, path or ibis.Table, optional
        Collaboration graph. If given, exposure is computed from it as the specification's section
        [exposure] says; see :func:`expose`.
    progressbar : bool
        Whether to show progress on standard error.

    Returns
    -------
    Analysis
        Estimates, posterior, comparison, checks, and ``report(path)``.

    Raises
    ------
    DataError
        If the data cannot be analysed.

    Examples
    --------
    >>> from bayescluster import load_tutorial, tutorial_spec
    >>> analysis = analyze(load_tutorial(5_000), tutorial_spec(), seed=1)  # doctest: +SKIP
    >>> print(analysis)  # doctest: +SKIP
    AI meeting summaries: a workspace-randomised experiment
    - Ship: the direct effect is above 0.1 with > 99.9% probability (asked for: 95%), and ...
    ...
    >>> analysis.report("report.html")  # doctest: +SKIP
    """
    from ..checks.check_registry import diagnose

    if edges is not None:
        from ..exposure.expose import expose

        with step("Computing exposure from the collaboration graph", progressbar):
            data = expose(edges, data, spec, mechanism=mechanism, seed=seed)
            mechanism = None
    with step("Reading, validating and compressing the data", progressbar):
        exp = Experiment(data, spec, mechanism=mechanism)
    with step("Sampling the posterior (the first run takes some seconds to compile)", progressbar):
        from ..bayes.fit import fit

        posterior = fit(exp, draws, tune, chains, seed, progressbar)
    with step(
        f"Estimating by the other methods, with {bootstrap_draws:,} bootstrap replicates",
        progressbar,
    ):
        comparison = compare(
            exp, posterior, bootstrap_draws=bootstrap_draws, seed=seed, truth=truth
        )
    with step("Checking the design, the sampler and the agreement of the methods", progressbar):
        checks = diagnose(comparison)
    return Analysis(exp, comparison, checks)
