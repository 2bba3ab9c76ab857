"""Bayesian analysis of cluster-randomised product experiments.

Start with :func:`analyze`, or go step by step: :class:`Experiment`, then :func:`two_exposure`,
:func:`cluster_bootstrap` and :func:`fit`, then :func:`compare`. Names are imported when first used,
so that the frequentist path never waits for PyMC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis import Analysis, analyze
    from .bayes.checks import convergence
    from .bayes.exact import ExactPosterior, exact_posterior
    from .bayes.fit import fit
    from .bayes.fit_exact import exact_posteriors, fit_exact
    from .bayes.model import build_model
    from .calibration import Calibration, calibrate
    from .card.markdown import model_card
    from .card.picture import plot_prior_predictive
    from .cells import CellCounts
    from .comparison import BiasAccounting, Comparison, compare
    from .design.acceptance import Bernoulli, Rerandomised
    from .design.assignment import Assignment, Complete, Custom, Stratified
    from .diagnostics import diagnose
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
    from .examples import example
    from .experiment import Experiment
    from .frequentist.bootstrap import BootstrapEstimates, cluster_bootstrap
    from .frequentist.estimates import Estimates
    from .frequentist.estimators import cluster_wls, naive_ols, two_exposure
    from .frequentist.influence import effective_clusters, influence
    from .frequentist.inversion import ResamplingTest
    from .frequentist.ols import WaldTest, ols, wald_test
    from .frequentist.randomization import randomization_test
    from .frequentist.wild import wild_bootstrap
    from .moments import ClusterMoments
    from .priors import Prior, PriorsSpec
    from .scorecards import Scorecard, scorecard
    from .simulate import Scenario, load_tutorial, tutorial_spec
    from .spec import (
        DesignSpec,
        HeterogeneitySpec,
        ModelSpec,
        OutcomeSpec,
        ReportSpec,
        load_spec,
    )
    from .synthetic import SyntheticExperiment

__version__ = "0.1.0"

_HOMES = {
    "analysis": ("Analysis", "analyze"),
    "bayes.checks": ("convergence",),
    "bayes.exact": ("ExactPosterior", "exact_posterior"),
    "bayes.fit": ("fit",),
    "bayes.fit_exact": ("exact_posteriors", "fit_exact"),
    "bayes.model": ("build_model",),
    "calibration": ("Calibration", "calibrate"),
    "card.markdown": ("model_card",),
    "card.picture": ("plot_prior_predictive",),
    "cells": ("CellCounts",),
    "comparison": ("BiasAccounting", "Comparison", "compare"),
    "design.acceptance": ("Bernoulli", "Rerandomised"),
    "design.assignment": ("Assignment", "Complete", "Custom", "Stratified"),
    "diagnostics": ("diagnose",),
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
    "examples": ("example",),
    "experiment": ("Experiment",),
    "frequentist.bootstrap": ("BootstrapEstimates", "cluster_bootstrap"),
    "frequentist.estimates": ("Estimates",),
    "frequentist.estimators": ("cluster_wls", "naive_ols", "two_exposure"),
    "frequentist.influence": ("effective_clusters", "influence"),
    "frequentist.ols": ("WaldTest", "ols", "wald_test"),
    "frequentist.inversion": ("ResamplingTest",),
    "frequentist.randomization": ("randomization_test",),
    "frequentist.wild": ("wild_bootstrap",),
    "moments": ("ClusterMoments",),
    "priors": ("Prior", "PriorsSpec"),
    "scorecards": ("Scorecard", "scorecard"),
    "simulate": ("Scenario", "load_tutorial", "tutorial_spec"),
    "synthetic": ("SyntheticExperiment",),
    "spec": (
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
    "BayesClusterError",
    "Bernoulli",
    "BiasAccounting",
    "BootstrapEstimates",
    "Calibration",
    "CellCounts",
    "ClusterMoments",
    "ColumnTypeError",
    "Comparison",
    "Complete",
    "Custom",
    "DataError",
    "DesignError",
    "DesignSpec",
    "DuplicateUnitError",
    "Estimates",
    "ExactPosterior",
    "Experiment",
    "FitError",
    "HeterogeneitySpec",
    "IdentificationError",
    "MissingColumnError",
    "MissingValueError",
    "ModelSpec",
    "OutcomeError",
    "OutcomeSpec",
    "Prior",
    "PriorsSpec",
    "ReportSpec",
    "Rerandomised",
    "ResamplingTest",
    "Scenario",
    "Scorecard",
    "SpecError",
    "SpilloverError",
    "StrataError",
    "Stratified",
    "SyntheticExperiment",
    "TreatmentError",
    "WaldTest",
    "analyze",
    "build_model",
    "calibrate",
    "cluster_bootstrap",
    "cluster_wls",
    "compare",
    "convergence",
    "diagnose",
    "effective_clusters",
    "exact_posterior",
    "exact_posteriors",
    "example",
    "fit",
    "fit_exact",
    "influence",
    "load_spec",
    "load_tutorial",
    "model_card",
    "naive_ols",
    "ols",
    "plot_prior_predictive",
    "randomization_test",
    "scorecard",
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
