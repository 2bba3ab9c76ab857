"""How much of a posterior is the priors' doing: by power-scaling, and by refitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.checks import Verdict, worst
from .._support.display import Tidy
from .._support.doors import draw
from ..answers.estimands import estimand_draws, summarise
from ..bayes.model_inputs import resolved_priors
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from ..errors import SpecError
from ..spec.priors import Prior, PriorsSpec
from .leave_one_out import Fitter, fit_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


#: Sensitivity above which the posterior is said to depend on a component (Kallioinen et al. 2024).
SENSITIVE = 0.05
#: Prior sensitivity up to which a conflict is a reason for caution, and no problem yet.
SEVERE = 0.1
#: Shift in posterior SDs, and change of the SD, that other priors may make unremarked ...
MAX_SHIFT, MAX_SD_RATIO = 0.25, 1.25
#: ... and the shift at which they decide the answer.
DECISIVE_SHIFT = 1.0
#: Change of a probability that draws of the posterior may show by chance.
MARGIN = 0.02
#: Factors on the scales of effects and between_sd where no alternatives are declared.
STANDARD_SETS = {"half": 0.5, "double": 2.0}


@dataclass(frozen=True, eq=False)
class PowerScaling(Tidy):
    """Local sensitivity of each parameter to the priors and to the likelihood.

    Parameters
    ----------
    table : DataFrame
        Columns parameter, prior, likelihood (sensitivities), diagnosis (prior-data conflict; strong
        prior or weak data; none), verdict (ok, caution, problem) and advice.
    tree : DataTree
        The posterior with its ``log_prior`` group, as ``arviz.plot_psense_dist`` takes it.
    """

    table: pd.DataFrame
    tree: xr.DataTree

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts."""
        return worst(self.table["verdict"])

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self) -> Figure:
        """Draw ArviZ's posteriors under power-scaled priors and likelihood."""
        return draw("model_checks.power_scaled", self)


def power_scaling(exp: Experiment, tree: xr.DataTree) -> PowerScaling:
    """Measure how the posterior moves if the priors, or the likelihood, count a little more.

    Needs no refit: draws are reweighted.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.

    Returns
    -------
    PowerScaling
        A row a parameter. Where both sensitivities are high, prior and data pull in different
        directions (a conflict); where only the prior's is, the prior is strong or the data weak.

    Notes
    -----
    Kallioinen, Paananen, Burkner & Vehtari (2024), Statistics and Computing 34: 57, through
    ``arviz.psense_summary``: the gradient of the cumulative Jensen-Shannon distance in log2 of the
    power, 0.05 and more being high; from a prior sensitivity of 0.1 a conflict is a problem. All
    top-level priors are scaled together; the distribution of the clusters' intercepts is part of
    the likelihood.
    """
    import arviz as az

    check_posterior(exp, tree)
    full = with_log_prior(exp, tree)
    names = list(full["log_prior"].data_vars)
    # Without its own diagnosis, which it logs: that is data here.
    found = az.psense_summary(full, var_names=names, threshold=np.inf, round_to=12)
    rows = []
    for label, row in found.iterrows():
        prior, likelihood = float(row["prior"]), float(row["likelihood"])
        diagnosis, verdict, advice = _power_verdict(str(label), prior, likelihood)
        rows.append(
            {
                "parameter": str(label),
                "prior": prior,
                "likelihood": likelihood,
                "diagnosis": diagnosis,
                "verdict": verdict,
                "advice": advice,
            }
        )
    return PowerScaling(pd.DataFrame(rows), full)


def with_log_prior(exp: Experiment, tree: xr.DataTree) -> xr.DataTree:
    """Return a copy of a posterior with the log-density of each parameter's prior at each draw.

    The group ``log_prior`` has the parameters' names and dimensions: by-arm standard deviations
    have one term an arm; the terms of stratum_effect sum, up to a constant, to the density of a
    normal distribution that is held to sum to zero.
    """
    import xarray as xr

    posterior = tree["posterior"].to_dataset()
    values = {
        name: (posterior[name].dims, prior.to_scipy().logpdf(posterior[name].to_numpy()))
        for name, prior in resolved_priors(exp).items()
    }
    groups = {name: tree[name].to_dataset() for name in ("posterior", "log_likelihood")}
    shared = {dim: posterior[dim] for dim in posterior.dims if dim in posterior.coords}
    log_prior = xr.Dataset(values)
    known = {dim: shared[dim] for dim in log_prior.dims if dim in shared}
    return xr.DataTree.from_dict({**groups, "log_prior": log_prior.assign_coords(known)})


def _power_verdict(parameter: str, prior: float, likelihood: float) -> tuple[str, str, str]:
    """Return diagnosis, verdict and advice."""
    if prior < SENSITIVE:
        return "none", "ok", ""
    name = parameter.split("[")[0]
    if likelihood >= SENSITIVE:
        verdict = "problem" if prior >= SEVERE else "caution"
        advice = (
            f"priors and data disagree on {name}, and the posterior lies between them. Check the "
            "data, then say where the prior comes from; prior_sensitivity shows what others would "
            "give"
        )
        return "prior-data conflict", verdict, advice
    advice = (
        f"the prior decides much of {name}. Report what other priors give (prior_sensitivity), or "
        "collect more clusters"
    )
    return "strong prior or weak data", "caution", advice


@dataclass(frozen=True, eq=False)
class PriorSensitivity(Tidy):
    """The effects under other priors than the declared ones.

    Parameters
    ----------
    table : DataFrame
        A row a set of priors and effect: priors, effect, mean, sd, ci_lower, ci_upper, ci_prob,
        prob_beyond_threshold, shift (of the mean, in posterior SDs under the declared priors),
        sd_ratio, verdict and advice. Effects are on the scale of :func:`estimand_draws`.
    sets : dict of dict of Prior
        The sets of priors.
    """

    table: pd.DataFrame
    sets: Mapping[str, Mapping[str, Prior]]

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts."""
        return worst(self.table["verdict"])

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw each effect's interval under each set of priors."""
        return draw("model_checks.effects_by_prior", self, figure)


def prior_sensitivity(
    exp: Experiment,
    tree: xr.DataTree | None = None,
    *,
    alternatives: Mapping[str, Mapping[str, Prior]] | None = None,
    fitter: Fitter | None = None,
) -> PriorSensitivity:
    """Refit under other sets of priors, and say how far the effects move.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree, optional
        The posterior under the declared priors; fitted where there is none.
    alternatives : mapping of str to (mapping of str to Prior), optional
        Sets of priors, each replacing some of the declared ones; by default the specification's
        `alternatives`, and where there are none "half" and "double": the scale of the priors of
        every effect and of between_sd halved and doubled.
    fitter : callable, optional
        From an experiment to its posterior; by default :func:`fit_exact` where the posterior is an
        integral, else :func:`fit`, which compiles again only where a prior is of another
        distribution.

    Returns
    -------
    PriorSensitivity
        Effects under each set, the declared one first.

    Raises
    ------
    SpecError
        Where a set names a parameter that the model does not have, or a prior does not fit one.
    ValueError
        Where the posterior is of another experiment.
    """
    sets = alternatives or exp.spec.alternatives or standard_alternatives(exp)
    run = fitter or fit_of
    if tree is not None:
        check_posterior(exp, tree)
    declared = run(exp) if tree is None else tree
    tables = {"declared": _effects(exp, declared)}
    for name, priors in sets.items():
        other = with_priors(exp, priors)
        tables[name] = _effects(other, run(other))
    base = tables["declared"].set_index("effect")
    prob = exp.spec.report.decision_prob
    rows = []
    for name, table in tables.items():
        for row in table.to_dict("records"):
            known = base.loc[row["effect"]]
            shift = float((row["mean"] - known["mean"]) / known["sd"])
            ratio = float(row["sd"] / known["sd"])
            now, then = row["prob_beyond_threshold"], float(known["prob_beyond_threshold"])
            flips = _side(now, prob) != _side(then, prob) and abs(now - then) > MARGIN
            verdict, advice = _shift_verdict(name, str(row["effect"]), shift, ratio, flips)
            extra = {"shift": shift, "sd_ratio": ratio, "verdict": verdict, "advice": advice}
            rows.append({"priors": name, **row, **extra})
    return PriorSensitivity(pd.DataFrame(rows), {k: dict(v) for k, v in sets.items()})


def standard_alternatives(exp: Experiment) -> dict[str, dict[str, Prior]]:
    """Return the declared priors of effects and between_sd at half and at double their scale."""
    names = [*exp.spec.design.effects, "between_sd"]
    priors = exp.spec.priors
    return {
        title: {name: _scaled(getattr(priors, name), factor) for name in names}
        for title, factor in STANDARD_SETS.items()
    }


def with_priors(exp: Experiment, priors: Mapping[str, Prior]) -> Experiment:
    """Return the same data under a specification with other priors.

    Raises
    ------
    SpecError
        Where a name is not of the model, or a prior does not fit its parameter.
    """
    # Every default is written out: a family's own would otherwise come back.
    given = {name: getattr(exp.spec.priors, name) for name in PriorsSpec.model_fields}
    changed = PriorsSpec(**(given | dict(priors)))
    known = {*resolved_priors(exp), *(("covariate", "covariates") if exp.covariates else ())}
    if unused := set(priors) - known:
        raise SpecError(
            f"a set of priors names {', '.join(sorted(unused))}, which this model does not have; "
            f"its parameters are {', '.join(resolved_priors(exp))}"
        )
    spec = exp.spec.model_copy(update={"priors": changed, "alternatives": {}})
    if exp.spec.family.cells is not None:
        return Experiment.from_cells(exp.cells(), spec)
    return Experiment.from_moments(exp.moments(), spec)


def _scaled(prior: Prior, factor: float) -> Prior:
    """Multiply the scale of a prior, leaving its centre and shape."""
    changed = {
        name: value * factor
        for name, value in prior.parameters.items()
        if name in ("sigma", "mean", "median")
    }
    return prior.model_copy(update=changed)


def _effects(exp: Experiment, tree: xr.DataTree) -> pd.DataFrame:
    """Summarise the design's effects under the names of `PriorSensitivity.table`."""
    draws = estimand_draws(exp, tree)
    draws = {name: draws[name] for name in exp.spec.design.effects}
    report = exp.spec.report
    table = summarise(draws, report).rename(columns={"estimand": "effect"})
    sign = 1 if report.direction == "increase" else -1
    beyond = [float(np.mean(sign * (v - report.threshold) > 0)) for v in draws.values()]
    kept = ["effect", "mean", "sd", "ci_lower", "ci_upper", "ci_prob"]
    return table[kept].assign(prob_beyond_threshold=beyond)


def _side(beyond: Any, decision_prob: float) -> int:
    """Return which of the three conclusions a probability of passing the threshold allows."""
    return int(beyond >= decision_prob) - int(beyond <= 1 - decision_prob)


def _shift_verdict(
    priors: str, effect: str, shift: float, ratio: float, flips: bool
) -> tuple[str, str]:
    if priors == "declared":
        return "ok", ""
    moved = (
        f"under the priors {priors!r} the {effect} effect moves by {shift:+.2f} of its posterior "
        f"SDs and its SD is {ratio:.2f} times as large"
    )
    if abs(shift) >= DECISIVE_SHIFT:
        return "problem", f"{moved}: the prior decides; say which one is right and why"
    if flips:
        return "caution", (
            f"{moved}, which changes whether it clearly passes the threshold: report both"
        )
    if abs(shift) > MAX_SHIFT or not 1 / MAX_SD_RATIO <= ratio <= MAX_SD_RATIO:
        return "caution", f"{moved}: report both"
    return "ok", ""
