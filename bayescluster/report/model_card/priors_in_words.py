"""The priors of an experiment's model in words, in the outcome's unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...bayes.model_inputs import resolved_priors
from ...data.experiment import Experiment
from ...spec.model_spec import default_priors
from ...spec.priors import Prior

#: Meaning of each parameter, in words.
MEANINGS = {
    "intercept_mean": "mean of the cluster intercepts, among pure controls",
    "direct": "effect of treatment",
    "spillover": "effect of full exposure on control units",
    "interaction": "effect of exposure on treated units minus that on control units",
    "within_spillover": "effect on untreated units if their whole cluster is treated",
    "between_sd": "SD of the cluster intercepts",
    "direct_sd": "SD of the direct effect between clusters",
    "spillover_sd": "SD of the spillover effect between clusters",
    "overdispersion": "variance = mean + overdispersion x mean²",
    "degrees_of_freedom": "heaviness of the tails: small values mean heavy tails",
    "log_size": "change of the level per unit of log cluster size",
    "direct_by_log_size": "change of the direct effect per unit of log cluster size",
    "spillover_by_log_size": "change of the spillover effect per unit of log cluster size",
    "interaction_by_log_size": "change of the interaction per unit of log cluster size",
    "within_spillover_by_log_size": (
        "change of the spillover within clusters per unit of log cluster size"
    ),
    "stratum_effect": "difference from the average stratum; the differences sum to zero",
}


def prior_rows(exp: Experiment) -> list[dict[str, str]]:
    """Return one row per parameter: name, meaning, prior, origin of the prior, and 95% range.

    The prior is in the outcome's unit, or on the link scale. The 95% range is equal-tailed; for
    families with a link it is also given as a mean, an odds ratio or a rate ratio.
    """
    rows = []
    for name, prior in resolved_priors(exp).items():
        meaning = MEANINGS.get(name, f"slope of the covariate, {name}")
        if name == "within_sd":
            meaning = exp.spec.family.words.within_sd
        rows.append(
            {
                "parameter": f"`{name}`",
                "meaning": meaning,
                "prior": in_words(prior),
                "from": _origin(exp, name),
                "95% range": _range(exp, name, prior),
            }
        )
    return rows


def in_words(prior: Prior) -> str:
    """Return a prior as distribution(values), to three significant digits."""
    values = ", ".join(f"{float(f'{v:.3g}'):g}" for v in prior.parameters.values())
    return f"{prior.distribution}({values})"


def unit_of_parameters(exp: Experiment) -> str:
    """Return the unit of intercepts and effects, in words."""
    outcome = exp.spec.outcome
    return exp.spec.family.unit or f"the outcome's unit: {outcome.label or outcome.column}"


def _origin(exp: Experiment, name: str) -> str:
    """Describe whether a prior is declared or the default, and its declared unit."""
    spec = exp.spec
    if name in exp.covariates:
        declared = spec.column_of(name) in spec.priors.covariates.by_name
        stated = spec.prior_of(name)
        declared = declared or stated != default_priors(spec.outcome.family).covariate
    else:
        stated = getattr(spec.priors, name)
        declared = stated != getattr(default_priors(spec.outcome.family), name)
    said = "**declared**" if declared else "default"
    if stated.unit == "outcome" or spec.family.has_link:
        return said
    return f"{said}, {in_words(stated)} in SDs"


def _range(exp: Experiment, name: str, prior: Prior) -> str:
    ends = prior.to_scipy().ppf([0.025, 0.975])
    said = _between(ends)
    family = exp.spec.family
    if not family.has_link or name.endswith("_sd") or name in family.parameters:
        return said
    if name == "intercept_mean":
        return f"{said}; mean {_between(family.link.mean(ends))}"
    return f"{said}; {family.ratio} {_between(np.exp(ends))}"


def _between(ends: Any) -> str:
    return " to ".join(_short(float(end)) for end in ends)


def _short(value: float) -> str:
    """Return a number to two significant digits, or four before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{float(f'{value:.2g}'):g}"
