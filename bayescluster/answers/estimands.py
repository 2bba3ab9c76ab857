"""Estimands: their names, definitions and posterior draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from .._support.arrays import Floats
from ..data.cluster_sizes import centred_log_sizes
from ..data.experiment import Experiment
from ..data.partial_rollouts import Saturations, not_identified
from ..spec.model_spec import Average
from ..spec.size_terms import by_log_size
from .average_outcomes import (
    AVERAGES,
    UNTREATED,
    WITH_EXPOSURE,
    Outcomes,
    conditions_of,
    flat,
    mean_outcomes,
)

if TYPE_CHECKING:
    import xarray as xr

#: Definition of each estimand, for the report.
DEFINITIONS = {
    "direct": "treated users against control users who are not exposed to spillover",
    "spillover": "fully exposed control users against control users who are not exposed",
    "interaction": "what exposure adds for treated users beyond what it adds for control users",
    "within_spillover": (
        "untreated users of a fully treated cluster against users of a cluster with nobody treated"
    ),
    "direct with exposure": "exposed treated users against control users who are not exposed",
    "direct - spillover": "treated users against exposed control users",
    "full rollout": (
        "all clusters treated against none; equals the direct effect, assuming that treated users "
        "gain nothing further from other treated clusters"
    ),
    "full rollout with exposure": (
        "all clusters treated against none; equals the direct effect with exposure, assuming that "
        "every user is then exposed"
    ),
    "ICC": "intracluster correlation: share of the outcome's variance that lies between clusters",
    "ICC, control": "intracluster correlation among control clusters",
    "ICC, treated": "intracluster correlation among treated clusters",
}
#: Definition of the direct effect in designs with other conditions than exposed controls.
DIRECT = {
    "interaction": "treated users who are not exposed against control users who are not exposed",
    "within_spillover": "treated users against users of a cluster with nobody treated",
    "alone": "treated users against control users, whatever spillover these receive",
}
#: Contrasts that a partial rollout identifies at the shares treated.
OWN_TREATMENT, MORE_TREATED = "own treatment", "more teammates treated"
#: Scale of effects in the outcome's unit, if the model describes its logarithm.
DIFFERENCE_OF_MEANS = "difference of means"


@dataclass(frozen=True)
class Estimand:
    """A quantity with a posterior, identified by name and scale.

    Parameters
    ----------
    name : str
        The effect, such as "direct", or another quantity, such as "ICC".
    scale : str
        Such as "odds ratio"; empty for the scale of threshold and ROPE.
    is_effect : bool
        Whether it is a difference on the scale of threshold and ROPE.
    is_action : bool
        Whether it is the effect of something that can be shipped. Other effects, such as
        spillover, have probabilities but no action.
    average : {"user", "cluster", ""}
        Whom it is averaged over; empty for what is no average, such as the ICC.
    words : str
        Its definition, if that depends on the experiment.
    extrapolates : str
        Why the design does not identify it; empty if it does.
    """

    name: str
    scale: str = ""
    is_effect: bool = field(default=True, compare=False)
    is_action: bool = field(default=False, compare=False)
    average: str = field(default="", compare=False)
    words: str = field(default="", compare=False)
    extrapolates: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """Name in tables."""
        return f"{self.name}, {self.scale}" if self.scale else self.name


DIRECT_EFFECT = Estimand("direct", is_action=True)
DIRECT_WITH_EXPOSURE = Estimand(WITH_EXPOSURE, is_action=True)
FULL_ROLLOUT = Estimand("full rollout", is_action=True)
FULL_ROLLOUT_WITH_EXPOSURE = Estimand("full rollout with exposure", is_action=True)
#: Effects of something that can be shipped, by name.
ACTIONS = {
    one.name: one
    for one in (DIRECT_EFFECT, DIRECT_WITH_EXPOSURE, FULL_ROLLOUT, FULL_ROLLOUT_WITH_EXPOSURE)
}


def effect_named(name: str) -> Estimand:
    """Return the effect with this name, on the scale of threshold and ROPE."""
    return ACTIONS.get(name, Estimand(name))


def estimand_draws(exp: Experiment, posterior: xr.DataTree) -> dict[Estimand, Floats]:
    """Return posterior draws of every estimand, each of shape (chains x draws,).

    Effects are averages over users or over clusters, as the specification's report names it. The
    two differ if the effects may depend on cluster size (`heterogeneity.size_effects`) and, for
    families with a link, because baselines differ; see :func:`draws_by_average` for both.

    Effects under their plain names are on the scale of least squares, threshold and ROPE: that of
    the outcome (lognormal: of its logarithm). For families with a link they are average
    differences: the mean outcome of all users of the experiment (or the mean of the clusters' mean
    outcomes), with their own clusters' intercepts and covariates, under one condition minus that
    under another. Coefficients and their exponentials follow, with names such as "direct, log odds
    ratio". Estimands that need a column missing from the specification are left out.

    Notes
    -----
    For the lognormal family, "direct, difference of means" and the like are in the outcome's unit:
    differences of the mean of exp(eta + within_sd^2 / 2) over users, with their own clusters'
    intercepts (and effects, if these vary). Covariates are treated as normal within clusters,
    because moments hold only their means and covariances: exact to second order in the slopes.
    """
    draws = posterior["posterior"].to_dataset()
    return draws_by_average(exp, draws, mean_outcomes(exp, draws))[exp.spec.report.estimand]


def draws_by_average(
    exp: Experiment, draws: xr.Dataset, outcomes: Outcomes
) -> dict[Average, dict[Estimand, Floats]]:
    """Return :func:`estimand_draws` as averages over users and over clusters, in one pass.

    From the draws of the parameters, and the :func:`mean_outcomes` that follow from them.
    """
    return {
        average: _of_average(exp, draws, average, _differences(exp, outcomes, average))
        for average in AVERAGES
    }


def _of_average(
    exp: Experiment, draws: xr.Dataset, average: Average, differences: dict[str, Floats]
) -> dict[Estimand, Floats]:
    """Return every estimand as one average, given the differences of mean outcomes."""
    effects = exp.spec.design.effects
    coefficients = {name: _coefficient(exp, draws, name, average) for name in effects}
    if exp.spec.family.has_link:
        found = differences
    else:
        conditions = conditions_of(exp)
        found = {
            name: _total(
                sign * dose * _coefficient(exp, draws, term, average, people)
                for condition, sign in signs.items()
                for term, dose in conditions[condition].items()
            )
            for name, (signs, people) in _contrasts(exp).items()
        }
    extrapolated = not_identified(exp)
    estimands = {
        replace(
            effect_named(name),
            words=_words_of(exp, name),
            extrapolates=extrapolated.get(name, ""),
        ): values
        for name, values in found.items()
    }
    averages = estimands | _other_scales(exp, coefficients, differences)
    named = {replace(one, average=average): values for one, values in averages.items()}
    return named | _intracluster(exp, draws)


def _words_of(exp: Experiment, name: str) -> str:
    """Return the definition of an effect that depends on the shares treated; empty for others."""
    if exp.spec.design.level != "unit":
        return ""
    shares = Saturations.of(exp)
    within = "within_spillover" in exp.spec.design.effects
    if name == OWN_TREATMENT:
        return (
            "treated users against untreated users of the same clusters, at the mean share treated "
            f"({shares.mean:.0%})"
        )
    if name == MORE_TREATED:
        return (
            f"untreated users of clusters with {shares.highest:.0%} treated against those of "
            f"clusters with {shares.lowest:.0%} treated"
        )
    if name == DIRECT_EFFECT.name and not within and not shares.has_untreated:
        return (
            "treated users against untreated users of the same clusters, at the shares treated "
            f"({shares.words}): own treatment only, without what teammates' treatment does"
        )
    return ""


def coefficient_weights(
    exp: Experiment, effect: str, average: Average, people: str = ""
) -> dict[str, float]:
    """Return the parameters, with weights, whose sum is an effect's averaged coefficient.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    effect : str
        The effect.
    average : {"user", "cluster"}
        What it is averaged over.
    people : str, optional
        The effect whose people it is averaged over; by default its own.
    """
    if not exp.size_terms:
        return {effect: 1.0}
    weights = exp.average_weights(average, people or effect)
    log_size = centred_log_sizes(exp.moments()) @ weights
    return {effect: 1.0, by_log_size(effect): float(log_size)}


def _contrasts(exp: Experiment) -> dict[str, tuple[dict[str, int], str]]:
    """Return the contrasts of a design: conditions with signs, and the effect whose people count.

    Conditions are measured from pure controls. The direct effect and full rollouts are averaged
    over everybody, contrasts of exposure over those who could be exposed.
    """
    effects = exp.spec.design.effects
    direct = {"direct": 1}
    both = {DIRECT_WITH_EXPOSURE.name: 1}
    found = {
        name: ({name: 1}, "spillover" if name == "spillover" else "direct") for name in effects
    }
    if "interaction" in effects:
        found["interaction"] = (both | {"direct": -1, "spillover": -1}, "spillover")
        found[DIRECT_WITH_EXPOSURE.name] = (both, "spillover")
    if "spillover" in effects:
        found["direct - spillover"] = (direct | {"spillover": -1}, "spillover")
    if "within_spillover" in effects:
        found[OWN_TREATMENT] = (direct | {"untreated at mean share": -1}, "direct")
        if Saturations.of(exp).varies:
            shares = {"untreated at highest share": 1, "untreated at lowest share": -1}
            found[MORE_TREATED] = (shares, "direct")
    found[FULL_ROLLOUT.name] = (direct, "direct")
    if "interaction" in effects:
        found[FULL_ROLLOUT_WITH_EXPOSURE.name] = (both, "direct")
    return found


def _total(parts: Iterable[Floats]) -> Floats:
    return np.asarray(sum(parts))


def _coefficient(
    exp: Experiment, draws: xr.Dataset, name: str, average: Average, people: str = ""
) -> Floats:
    """Return draws of an effect's coefficient, averaged; see :func:`coefficient_weights`."""
    weights = coefficient_weights(exp, name, average, people)
    return np.asarray(sum(weight * flat(draws, one) for one, weight in weights.items()))


def _differences(exp: Experiment, outcomes: Outcomes, average: Average) -> dict[str, Floats]:
    """Return every contrast as a difference of mean outcomes; none without outcomes."""
    if not outcomes:
        return {}
    untreated = outcomes[UNTREATED]
    return {
        name: _total(
            sign * (outcomes[condition][average, people] - untreated[average, people])
            for condition, sign in signs.items()
        )
        for name, (signs, people) in _contrasts(exp).items()
    }


def _other_scales(
    exp: Experiment, coefficients: dict[str, Floats], differences: dict[str, Floats]
) -> dict[Estimand, Floats]:
    """Return coefficients on the link scale, ratios and, for logarithms, mean differences."""
    family = exp.spec.family
    found: dict[Estimand, Floats] = {}
    if family.has_link:
        scale = f"log {family.ratio}"
        found |= {
            Estimand(name, scale, is_effect=False): values for name, values in coefficients.items()
        }
    if scale := family.ratio:
        found |= {
            Estimand(name, scale, is_effect=False): np.exp(values)
            for name, values in coefficients.items()
        }
    if family.log_outcome:
        wanted = (*coefficients, DIRECT_WITH_EXPOSURE.name)
        found |= {
            Estimand(name, DIFFERENCE_OF_MEANS, is_effect=False): values
            for name, values in differences.items()
            if name in wanted
        }
    return found


def _intracluster(exp: Experiment, draws: xr.Dataset) -> dict[Estimand, Floats]:
    """Return the ICC if the variance within clusters is a single parameter."""
    if exp.spec.family.cells is not None:
        return {}
    between, within = flat(draws, "between_sd") ** 2, flat(draws, "within_sd") ** 2
    if between.ndim == 1:
        return {Estimand("ICC", is_effect=False): between / (between + within)}
    arms = ("ICC, control", "ICC, treated")
    return {
        Estimand(name, is_effect=False): x / (x + within)
        for name, x in zip(arms, between.T, strict=True)
    }


def definition(estimand: Estimand, effects: Collection[str] = ("direct", "spillover")) -> str:
    """Return the definition of an estimand, given the effects in its design."""
    words = estimand.words or DEFINITIONS[estimand.name]
    if not estimand.words and estimand == Estimand(DIRECT_EFFECT.name, estimand.scale):
        if "interaction" in effects:
            words = DIRECT["interaction"]
        elif "spillover" not in effects:
            words = DIRECT["within_spillover" if "within_spillover" in effects else "alone"]
    if estimand.extrapolates:
        words = f"NOT IDENTIFIED: {words}; {estimand.extrapolates}"
    if not estimand.scale:
        return words
    article = "an" if estimand.scale[0] in "aeiou" else "a"
    return f"{words}, as {article} {estimand.scale}"
