"""Bayesian analysis of cluster-randomised product experiments.

Start with :func:`analyze`, or go step by step: :class:`Experiment`, then :func:`two_exposure`,
:func:`cluster_bootstrap` and :func:`fit`, then :func:`compare`. Names are imported when first used,
so that the frequentist path never waits for PyMC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.analysis import Analysis, analyze
    from .analysis.scorecard import Scorecard, scorecard
    from .answers.method_comparison import BiasAccounting, Comparison, compare
    from .answers.rollout import Rollout, rollout
    from .assignment.mechanisms import (
        Assignment,
        Complete,
        Custom,
        Stratified,
    )
    from .assignment.redrawn_mechanisms import Bernoulli, Rerandomised
    from .bayes.convergence import convergence
    from .bayes.exact.exact_posterior import ExactPosterior, exact_posterior
    from .bayes.exact.fit_exact import exact_posteriors, fit_exact
    from .bayes.fit import fit
    from .bayes.model import build_model
    from .checks.diagnose import diagnose
    from .checks.exposure_sensitivity import ExposureSensitivity, exposure_sensitivity
    from .checks.leave_one_out import (
        LeaveOneOut,
        ModelComparison,
        compare_fits,
        compare_models,
        loo,
    )
    from .checks.predictive_check import (
        PredictiveCheck,
        posterior_predictive_check,
        prior_predictive_check,
    )
    from .checks.prior_sensitivity import (
        PowerScaling,
        PriorSensitivity,
        power_scaling,
        prior_sensitivity,
    )
    from .data.cell_counts import CellCounts
    from .data.cluster_moments import ClusterMoments
    from .data.experiment import Experiment
    from .decisions.expected_loss import Decision, decide
    from .design.calibration import Calibration, calibrate
    from .design.cluster_grouping import Groupings, group_clusters
    from .design.exposure_plan import ExposurePlan, plan_exposure
    from .errors import (
        BayesClusterError,
        ColumnTypeError,
        DataError,
        DesignError,
        DuplicateUnitError,
        FitError,
        IdentificationError,
        MissingColumnError,
        MissingValueError,
        OutcomeError,
        SpecError,
        SpilloverError,
        StrataError,
        TreatmentError,
    )
    from .exposure.collaboration_graph import CollaborationGraph
    from .exposure.condition_probabilities import ExposureProbabilities, exposure_probabilities
    from .exposure.expose import Exposure, expose
    from .exposure.mappings import AtLeast, CustomMapping, ExposureMapping, ShareAbove, TreatedShare
    from .exposure.positivity import Positivity
    from .figures.prior_predictive import plot_prior_predictive
    from .frequentist.cluster_bootstrap import BootstrapEstimates, cluster_bootstrap
    from .frequentist.cluster_influence import effective_clusters, influence
    from .frequentist.conditional_randomization import spillover_test
    from .frequentist.estimates_record import Estimates
    from .frequentist.exposure_contrasts import ExposureContrast, exposure_contrast
    from .frequentist.graph_estimators import (
        exposure_weighted_ols,
        hajek,
        horvitz_thompson,
        recentred_ols,
    )
    from .frequentist.inverted_tests import ResamplingTest
    from .frequentist.ols import WaldTest, ols, wald_test
    from .frequentist.randomization import randomization_test
    from .frequentist.standard_estimators import cluster_wls, naive_ols, two_exposure
    from .frequentist.wild_cluster_bootstrap import wild_bootstrap
    from .report.model_card.model_card import model_card
    from .simulate.gallery_examples import example
    from .simulate.graph_scenario import GraphScenario
    from .simulate.spillover_scenario import Scenario, load_tutorial, tutorial_spec
    from .simulate.synthetic_experiment import SyntheticExperiment
    from .spec.exposure_section import ExposureSpec
    from .spec.model_spec import (
        DesignSpec,
        HeterogeneitySpec,
        ModelSpec,
        OutcomeSpec,
        ReportSpec,
        load_spec,
    )
    from .spec.priors import Prior, PriorsSpec

__version__ = "0.1.0"

_HOMES = {
    "analysis.analysis": ("Analysis", "analyze"),
    "bayes.convergence": ("convergence",),
    "bayes.exact.exact_posterior": ("ExactPosterior", "exact_posterior"),
    "bayes.fit": ("fit",),
    "bayes.exact.fit_exact": ("exact_posteriors", "fit_exact"),
    "bayes.model": ("build_model",),
    "checks.leave_one_out": (
        "LeaveOneOut",
        "ModelComparison",
        "compare_fits",
        "compare_models",
        "loo",
    ),
    "checks.predictive_check": (
        "PredictiveCheck",
        "posterior_predictive_check",
        "prior_predictive_check",
    ),
    "checks.prior_sensitivity": (
        "PowerScaling",
        "PriorSensitivity",
        "power_scaling",
        "prior_sensitivity",
    ),
    "design.calibration": ("Calibration", "calibrate"),
    "report.model_card.model_card": ("model_card",),
    "figures.prior_predictive": ("plot_prior_predictive",),
    "data.cell_counts": ("CellCounts",),
    "answers.method_comparison": ("BiasAccounting", "Comparison", "compare"),
    "decisions.expected_loss": ("Decision", "decide"),
    "assignment.redrawn_mechanisms": ("Bernoulli", "Rerandomised"),
    "assignment.mechanisms": ("Assignment", "Complete", "Custom", "Stratified"),
    "checks.diagnose": ("diagnose",),
    "errors": (
        "BayesClusterError",
        "ColumnTypeError",
        "DataError",
        "DesignError",
        "DuplicateUnitError",
        "FitError",
        "IdentificationError",
        "MissingColumnError",
        "MissingValueError",
        "OutcomeError",
        "SpecError",
        "SpilloverError",
        "StrataError",
        "TreatmentError",
    ),
    "simulate.gallery_examples": ("example",),
    "data.experiment": ("Experiment",),
    "frequentist.exposure_contrasts": (
        "ExposureContrast",
        "exposure_contrast",
    ),
    "exposure.expose": (
        "Exposure",
        "expose",
    ),
    "exposure.collaboration_graph": ("CollaborationGraph",),
    "design.cluster_grouping": ("Groupings", "group_clusters"),
    "exposure.mappings": (
        "AtLeast",
        "CustomMapping",
        "ExposureMapping",
        "ShareAbove",
        "TreatedShare",
    ),
    "design.exposure_plan": ("ExposurePlan", "plan_exposure"),
    "exposure.positivity": ("Positivity",),
    "exposure.condition_probabilities": (
        "ExposureProbabilities",
        "exposure_probabilities",
    ),
    "simulate.graph_scenario": ("GraphScenario",),
    "checks.exposure_sensitivity": ("ExposureSensitivity", "exposure_sensitivity"),
    "spec.exposure_section": ("ExposureSpec",),
    "frequentist.graph_estimators": (
        "exposure_weighted_ols",
        "hajek",
        "horvitz_thompson",
        "recentred_ols",
    ),
    "frequentist.conditional_randomization": ("spillover_test",),
    "frequentist.cluster_bootstrap": ("BootstrapEstimates", "cluster_bootstrap"),
    "frequentist.estimates_record": ("Estimates",),
    "frequentist.standard_estimators": ("cluster_wls", "naive_ols", "two_exposure"),
    "frequentist.cluster_influence": ("effective_clusters", "influence"),
    "frequentist.ols": ("WaldTest", "ols", "wald_test"),
    "frequentist.inverted_tests": ("ResamplingTest",),
    "frequentist.randomization": ("randomization_test",),
    "frequentist.wild_cluster_bootstrap": ("wild_bootstrap",),
    "data.cluster_moments": ("ClusterMoments",),
    "spec.priors": ("Prior", "PriorsSpec"),
    "answers.rollout": ("Rollout", "rollout"),
    "analysis.scorecard": ("Scorecard", "scorecard"),
    "simulate.spillover_scenario": ("Scenario", "load_tutorial", "tutorial_spec"),
    "simulate.synthetic_experiment": ("SyntheticExperiment",),
    "spec.model_spec": (
        "DesignSpec",
        "HeterogeneitySpec",
        "ModelSpec",
        "OutcomeSpec",
        "ReportSpec",
        "load_spec",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis",
    "Assignment",
    "AtLeast",
    "BayesClusterError",
    "Bernoulli",
    "BiasAccounting",
    "BootstrapEstimates",
    "Calibration",
    "CellCounts",
    "ClusterMoments",
    "CollaborationGraph",
    "ColumnTypeError",
    "Comparison",
    "Complete",
    "Custom",
    "CustomMapping",
    "DataError",
    "Decision",
    "DesignError",
    "DesignSpec",
    "DuplicateUnitError",
    "Estimates",
    "ExactPosterior",
    "Experiment",
    "Exposure",
    "ExposureContrast",
    "ExposureMapping",
    "ExposurePlan",
    "ExposureProbabilities",
    "ExposureSensitivity",
    "ExposureSpec",
    "FitError",
    "GraphScenario",
    "Groupings",
    "HeterogeneitySpec",
    "IdentificationError",
    "LeaveOneOut",
    "MissingColumnError",
    "MissingValueError",
    "ModelComparison",
    "ModelSpec",
    "OutcomeError",
    "OutcomeSpec",
    "Positivity",
    "PowerScaling",
    "PredictiveCheck",
    "Prior",
    "PriorSensitivity",
    "PriorsSpec",
    "ReportSpec",
    "Rerandomised",
    "ResamplingTest",
    "Rollout",
    "Scenario",
    "Scorecard",
    "ShareAbove",
    "SpecError",
    "SpilloverError",
    "StrataError",
    "Stratified",
    "SyntheticExperiment",
    "TreatedShare",
    "TreatmentError",
    "WaldTest",
    "analyze",
    "build_model",
    "calibrate",
    "cluster_bootstrap",
    "cluster_wls",
    "compare",
    "compare_fits",
    "compare_models",
    "convergence",
    "decide",
    "diagnose",
    "effective_clusters",
    "exact_posterior",
    "exact_posteriors",
    "example",
    "expose",
    "exposure_contrast",
    "exposure_probabilities",
    "exposure_sensitivity",
    "exposure_weighted_ols",
    "fit",
    "fit_exact",
    "group_clusters",
    "hajek",
    "horvitz_thompson",
    "influence",
    "load_spec",
    "load_tutorial",
    "loo",
    "model_card",
    "naive_ols",
    "ols",
    "plan_exposure",
    "plot_prior_predictive",
    "posterior_predictive_check",
    "power_scaling",
    "prior_predictive_check",
    "prior_sensitivity",
    "randomization_test",
    "recentred_ols",
    "rollout",
    "scorecard",
    "spillover_test",
    "tutorial_spec",
    "two_exposure",
    "wald_test",
    "wild_bootstrap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bayescluster' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
