"""Data with a known truth for the specifications in models/, one set per specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import SpecError
from ..spec.model_spec import load_spec
from .synthetic_experiment import SyntheticExperiment

#: Generator settings for each specification, by file name; parameters are in the outcome's unit or
#: on the link scale.
EXAMPLES: dict[str, dict[str, Any]] = {
    "conversion": {
        "n_clusters": 60,
        "cluster_size": 80,
        "parameters": {
            "intercept_mean": -2.0,
            "direct": 0.35,
            "spillover": 0.2,
            "between_sd": 0.4,
        },
    },
    "messages": {
        "n_clusters": 40,
        "cluster_size": 60,
        "parameters": {
            "intercept_mean": 1.8,
            "direct": -0.2,
            "spillover": -0.08,
            "between_sd": 0.25,
        },
    },
    "incidents": {
        "n_clusters": 80,
        "cluster_size": 25,
        "parameters": {
            "intercept_mean": 0.3,
            "direct": -0.3,
            "between_sd": 0.4,
            "overdispersion": 0.6,
        },
    },
    "revenue": {
        "n_clusters": 50,
        "cluster_size": 100,
        "parameters": {
            "intercept_mean": 3.7,
            "direct": 0.1,
            "spillover": 0.04,
            "between_sd": 0.15,
            "within_sd": 0.8,
        },
    },
    "latency": {
        "n_clusters": 40,
        "cluster_size": 50,
        "parameters": {
            "intercept_mean": 210.0,
            "direct": 4.0,
            "spillover": 1.0,
            "between_sd": 12.0,
            "within_sd": 25.0,
            "degrees_of_freedom": 4.0,
        },
    },
    "pre_period": {
        "n_clusters": 40,
        "cluster_size": 100,
        "categories": {"plan": ("free", "team", "enterprise")},
        "scales": {"minutes_before": (62.0, 12.0), "cluster_tenure": (18.0, 8.0)},
        "parameters": {
            "intercept_mean": 60.0,
            "direct": -3.0,
            "spillover": -1.0,
            "pre_period": 9.6,
            "covariate": 2.0,
            "between_sd": 2.5,
            "within_sd": 8.0,
        },
    },
    "partial_rollout": {
        "n_clusters": 45,
        "cluster_size": 60,
        "saturations": (0.0, 0.3, 0.7),
        "parameters": {
            "intercept_mean": 25.0,
            "direct": -2.5,
            "within_spillover": -1.5,
            "between_sd": 2.0,
            "within_sd": 6.0,
        },
    },
    "dose": {
        "n_clusters": 40,
        "cluster_size": 100,
        "dose": True,
        "parameters": {
            "intercept_mean": 6.0,
            "direct": 0.8,
            "spillover": 0.5,
            "between_sd": 0.5,
            "within_sd": 1.2,
        },
    },
    "four_conditions": {
        "n_clusters": 40,
        "cluster_size": 100,
        "parameters": {
            "direct": 0.4,
            "spillover": 0.2,
            "interaction": -0.1,
            "between_sd": 0.3,
            "within_sd": 0.95,
        },
    },
    "matched_pairs": {
        "n_clusters": 40,
        "cluster_size": 30,
        "parameters": {
            "intercept_mean": 6.0,
            "direct": -0.8,
            "stratum_sd": 2.0,
            "between_sd": 0.5,
            "within_sd": 1.5,
        },
    },
    "varying_spillover": {
        "n_clusters": 60,
        "cluster_size": 80,
        "parameters": {
            "intercept_mean": 6.0,
            "direct": 0.8,
            "spillover": 0.3,
            "spillover_sd": 0.3,
            "between_sd": 0.5,
            "within_sd": 1.0,
        },
    },
    "spread_by_arm": {
        "n_clusters": 60,
        "cluster_size": 60,
        "parameters": {
            "intercept_mean": 12.0,
            "direct": 2.5,
            "spillover": 0.6,
            "between_sd": 1.5,
            "between_sd_treated": 3.0,
            "within_sd": 4.0,
        },
    },
    "suggestions": {
        "n_clusters": 60,
        "cluster_size": 80,
        "parameters": {
            "intercept_mean": 0.4,
            "direct": 0.25,
            "spillover": 0.1,
            "between_sd": 0.5,
        },
    },
}


def example(path: str | Path) -> SyntheticExperiment:
    """Return the generator of example data for a specification in the folder models/.

    Parameters
    ----------
    path : str or Path
        The specification, such as ``models/conversion.toml``; the file's name selects the data.

    Returns
    -------
    SyntheticExperiment
        ``.simulate(seed)`` returns a table that the specification (``.spec``) can analyse;
        ``.true_parameters(exp)`` returns the true parameters.

    Raises
    ------
    SpecError
        If the file cannot be read, or there are no data for its name; for your own specification,
        create a `SyntheticExperiment`.

    Examples
    --------
    >>> import bayescluster as bc
    >>> made = bc.simulate.example("models/conversion.toml")  # doctest: +SKIP
    >>> exp = bc.Experiment(made.simulate(seed=1), made.spec)  # doctest: +SKIP
    """
    spec, name = load_spec(path), Path(path).stem
    if name not in EXAMPLES:
        raise SpecError(
            f"{path}: there are no example data with this name, only for {', '.join(EXAMPLES)}; "
            "create your own with SyntheticExperiment(spec)"
        )
    return SyntheticExperiment(spec, **EXAMPLES[name])
