"""Sensitivity of a posterior to its priors: by power-scaling, and by refitting."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Verdict, worst
from .._support.tidy import Tidy
from ..answers.estimands import effect_named, estimand_draws
from ..answers.posterior_summary import summarise
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
#: Prior sensitivity from which a conflict is a problem rather than a reason for caution.
SEVERE = 0.1
#: Largest shift in posterior SDs, and change of the SD, under other priors that is still ok ...
MAX_SHIFT, MAX_SD_RATIO = 0.25, 1.25
#: ... and the shift from which the prior decides the answer.
DECISIVE_SHIFT = 1.0
#: Change of a probability that may be due to Monte Carlo error.
MARGIN = 0.02
#: Factors on the scales of effects and between_sd if no alternatives are declared.
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
        The posterior with its ``log_prior`` group, as needed by ``arviz.plot_psense_dist``.
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
    """Measure how the posterior changes if the priors, or the likelihood, get slightly more weight.

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
        One row per parameter. If both sensitivities are high, prior and data pull in different
        directions (a conflict); if only the prior's is, the prior is strong or the data are weak.

    Notes
    -----
    Kallioinen, Paananen, Burkner & Vehtari (2024), Statistics and Computing 34: 57, through
    ``arviz.psense_summary``: the gradient of the cumulative Jensen-Shannon distance in log2 of the
    power. Values of 0.05 and more are high; from a prior sensitivity of 0.1 a conflict is a
    problem. All top-level priors are scaled together; the distribution of the cluster intercepts is
    part of the likelihood.
    """
    import arviz as az

    check_posterior(exp, tree)
    full = with_log_prior(exp, tree)
    names = list(full["log_prior"].data_vars)
    # Without ArviZ's own diagnosis, which it logs.
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

    The group ``log_prior`` has the parameters' names and dimensions. Standard deviations by arm
    have one term per arm. The terms of stratum_effect sum, up to a constant, to the density of a
    normal distribution with sum zero.
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
            "data, then justify the prior; prior_sensitivity shows the results under other priors"
        )
        return "prior-data conflict", verdict, advice
    advice = (
        f"the prior decides much of {name}. Report results under other priors (prior_sensitivity), "
        "or collect more clusters"
    )
    return "strong prior or weak data", "caution", advice


@dataclass(frozen=True, eq=False)
class PriorSensitivity(Tidy):
    """The effects under priors other than the declared ones.

    Parameters
    ----------
    table : DataFrame
        One row per set of priors and effect: priors, effect, mean, sd, ci_lower, ci_upper, ci_prob,
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
    """Refit under other sets of priors, and measure how far the effects move.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree, optional
        The posterior under the declared priors; fitted if not given.
    alternatives : mapping of str to (mapping of str to Prior), optional
        Sets of priors, each replacing some of the declared ones. The default is the specification's
        `alternatives`; without any, "half" and "double", which halve and double the scale of the
        priors of the effects and of between_sd.
    fitter : callable, optional
        Function from an experiment to its posterior; by default :func:`fit_exact` if the posterior
        is an integral, otherwise :func:`fit`, which compiles again only if the distribution of a
        prior changes.

    Returns
    -------
    PriorSensitivity
        Effects under each set, the declared one first.

    Raises
    ------
    SpecError
        If a set names a parameter that the model does not have, or a prior does not suit its
        parameter.
    ValueError
        If the posterior belongs to another experiment.
    """
    sets = alternatives or exp.spec.alternatives or standard_alternatives(exp)
    run = fitter or fit_of
    if tree is not None:
        check_posterior(exp, tree)
    declared = run(exp) if tree is None else tree
    tables = {"declared": _effects(exp, declared)}
    for name, priors in sets.items():
        other = with_priors(exp, priors)
        with _naming(name):
            refit = run(other)
        tables[name] = _effects(other, refit)
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


@contextmanager
def _naming(priors: str) -> Iterator[None]:
    """Say in warnings of a refit which priors it has."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        warnings.warn(f"refit with priors {priors!r}: {one.message}", one.category, stacklevel=4)


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
        If the model has no such parameter, or a prior does not suit its parameter.
    """
    # Every prior is written out, because missing ones would get the family's defaults.
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
    """Multiply the scale of a prior; its centre and shape stay the same."""
    changed = {
        name: value * factor
        for name, value in prior.parameters.items()
        if name in ("sigma", "mean", "median")
    }
    return prior.model_copy(update=changed)


def _effects(exp: Experiment, tree: xr.DataTree) -> pd.DataFrame:
    """Summarise the design's effects, with the column names of `PriorSensitivity.table`."""
    draws = estimand_draws(exp, tree)
    draws = {e: draws[e] for e in map(effect_named, exp.spec.design.effects)}
    report = exp.spec.report
    table = summarise(draws, report).rename(columns={"estimand": "effect"})
    sign = 1 if report.direction == "increase" else -1
    beyond = [float(np.mean(sign * (v - report.threshold) > 0)) for v in draws.values()]
    kept = ["effect", "mean", "sd", "ci_lower", "ci_upper", "ci_prob"]
    return table[kept].assign(prob_beyond_threshold=beyond)


def _side(beyond: Any, decision_prob: float) -> int:
    """Return which of three conclusions follows from a probability of passing the threshold."""
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
        return "problem", f"{moved}: the prior decides; choose one and justify it"
    if flips:
        return "caution", (
            f"{moved}, which changes whether it clearly passes the threshold: report both"
        )
    if abs(shift) > MAX_SHIFT or not 1 / MAX_SD_RATIO <= ratio <= MAX_SD_RATIO:
        return "caution", f"{moved}: report both"
    return "ok", ""
