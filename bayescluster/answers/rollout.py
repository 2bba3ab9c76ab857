"""Projected change at each treated share, under named assumptions on exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.calls_to_figures_and_report import draw
from .._support.display import percent
from .._support.tidy import Tidy
from ..bayes.parameter_draws import check_posterior
from ..data.experiment import Experiment
from .estimands import DIFFERENCE_OF_MEANS, DIRECT_WITH_EXPOSURE, estimand_draws

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


#: Default shares.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
PROPORTIONAL = "exposure proportional to the treated share"
CONSTANT = "exposure constant at the observed level"
NONE = "no spillover"
WITHIN = "spillover within clusters only"
#: Definition of each assumption.
ASSUMPTIONS = {
    PROPORTIONAL: (
        "the mean exposure of users grows in proportion to the treated share: zero at 0, the "
        "observed level at the experiment's own share, and 1 at most"
    ),
    CONSTANT: (
        "the mean exposure of users stays at the level of the experiment for every treated share, "
        "and is zero if nobody is treated"
    ),
    NONE: "nobody is exposed: each user's outcome depends on their own treatment only",
    WITHIN: (
        "untreated users gain only from treated users of their own cluster, in proportion to the "
        "treated share"
    ),
}


@dataclass(frozen=True)
class MeanExposure:
    """Mean exposures in the experiment.

    Parameters
    ----------
    share : float
        Treated share of the clusters, or of the users if single users were treated.
    untreated, treated : float
        Mean spillover exposure of untreated and of treated users.
    """

    share: float
    untreated: float
    treated: float

    @classmethod
    def of(cls, exp: Experiment) -> MeanExposure:
        """Return the mean exposures of an experiment."""
        m = exp.moments()
        mean = dict(zip(m.names, m.grand_means, strict=False))
        treated = float(mean["direct"])
        share = treated if exp.spec.design.level == "unit" else float(exp.treated.mean())
        both = float(mean.get("interaction", 0.0))
        alone = float(mean.get("spillover", 0.0)) - both
        return cls(share, max(alone, 0.0) / (1 - treated), both / treated)

    def at(self, share: float, assumption: str) -> tuple[float, float]:
        """Return the mean exposure of untreated and of treated users at a treated share."""
        if assumption in (NONE, WITHIN) or share == 0:
            return 0.0, 0.0
        factor = share / self.share if assumption == PROPORTIONAL else 1.0
        return min(1.0, factor * self.untreated), min(1.0, factor * self.treated)


@dataclass(frozen=True, eq=False)
class Rollout(Tidy):
    """Projected change of the mean outcome per user, compared with nobody treated.

    Parameters
    ----------
    table : DataFrame
        One row per share and assumption: share, assumption, mean, sd, ci_lower, ci_upper, ci_prob,
        exposure (mean, of untreated users), words (definition of the assumption).
    exposure : MeanExposure
        Mean exposures in the experiment.
    outcome : str
        Label of the outcome.
    unit : str
        What is treated: a share of "clusters" or of "users of every cluster".
    """

    table: pd.DataFrame
    exposure: MeanExposure
    outcome: str
    unit: str

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the change against the treated share, one curve with interval per assumption.

        The vertical line is the experiment's own share; results beyond it are extrapolated.
        """
        return draw("rollout.rollout", self, figure)


def rollout(
    exp: Experiment,
    tree: xr.DataTree,
    shares: Sequence[float] = SHARES,
    *,
    estimands: Mapping[str, Floats] | None = None,
) -> Rollout:
    """Project the mean change per user at each treated share, compared with nobody treated.

    Parameters
    ----------
    exp : Experiment
        Data and specification.
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.
    shares : sequence of float
        Treated shares, in [0, 1]: of the clusters or, if the experiment treated single users (a
        partial rollout), of the users of every cluster.
    estimands : mapping of str to ndarray, optional
        Draws of each effect, shape (S,), by name; by default, those of :func:`estimand_draws`.

    Returns
    -------
    Rollout
        Projections under each assumption. Without a spillover column there is only one: no
        spillover, or spillover within clusters only.

    Raises
    ------
    ValueError
        If a share is outside [0, 1], or the posterior belongs to another experiment.

    Notes
    -----
    At share q the change is

      q (direct + e_T(q) (spillover + interaction)) + (1 - q) (e(q) spillover + q within_spillover),

    where e(q) and e_T(q) are the mean exposures of untreated and of treated users; treated users
    are exposed only if the interaction is modelled. within_spillover is the effect in a fully
    treated cluster, scaled by q. All clusters are assumed to have the same size. For families with
    a link the effects are average differences, and the change is interpolated between them: exact
    at q = 0 and 1, approximate for doses or for two kinds of spillover at once. For the lognormal
    family they are the differences of means of :func:`estimand_draws`, in the outcome's unit.

    Examples
    --------
    >>> from bayescluster import Experiment, fit_exact
    >>> from bayescluster.simulate import Scenario
    >>> scenario = Scenario(n_clusters=20, cluster_size=50)
    >>> exp = Experiment(scenario.simulate(seed=1), scenario.spec)
    >>> found = rollout(exp, fit_exact(exp, seed=1), shares=[0.25, 1.0])
    >>> found.table["assumption"].unique().tolist()[-1]
    'no spillover'
    """
    grid = np.asarray(shares, dtype=float).ravel()
    if not len(grid) or not ((grid >= 0) & (grid <= 1)).all():
        raise ValueError(f"shares must lie in [0, 1]; given {grid.tolist()}")
    draws = _outcome_scale_draws(exp, tree) if estimands is None else estimands
    exposure = MeanExposure.of(exp)
    assumptions = [PROPORTIONAL, CONSTANT, NONE]
    if not exp.has_spillover:
        assumptions = [WITHIN if exp.spec.design.saturation else NONE]
    tail = (1 - exp.spec.report.ci_prob) / 2
    rows = []
    for assumption in assumptions:
        for q in grid.tolist():
            at = exposure.at(q, assumption)
            values = _change(draws, q, *at, within=assumption != NONE)
            lower, upper = np.quantile(values, [tail, 1 - tail])
            rows.append(
                {
                    "share": q,
                    "assumption": assumption,
                    "mean": float(values.mean()),
                    "sd": float(values.std(ddof=1)),
                    "ci_lower": float(lower),
                    "ci_upper": float(upper),
                    "ci_prob": exp.spec.report.ci_prob,
                    "exposure": at[0],
                    "words": _words(exp, exposure, assumption),
                }
            )
    outcome = exp.spec.outcome
    logs = exp.spec.family.log_outcome  # its label may describe the logarithm
    by_users = exp.spec.design.level == "unit"
    return Rollout(
        pd.DataFrame(rows),
        exposure,
        outcome.column if logs else outcome.label or outcome.column,
        "users of every cluster" if by_users else "clusters",
    )


def _outcome_scale_draws(exp: Experiment, tree: xr.DataTree) -> dict[str, Floats]:
    """Return draws of the effects in the outcome's unit."""
    check_posterior(exp, tree)
    scale = DIFFERENCE_OF_MEANS if exp.spec.family.log_outcome else ""
    draws = estimand_draws(exp, tree)
    return {estimand.name: values for estimand, values in draws.items() if estimand.scale == scale}


def _change(
    draws: Mapping[str, Floats], q: float, untreated: float, treated: float, *, within: bool
) -> Floats:
    """Return draws of the change at share q, given the mean exposures."""
    direct = np.asarray(draws["direct"], dtype=float)
    own = direct
    if treated and DIRECT_WITH_EXPOSURE.name in draws:
        own = (1 - treated) * direct + treated * draws[DIRECT_WITH_EXPOSURE.name]
    others = np.zeros_like(direct)
    if "spillover" in draws:
        others = others + untreated * draws["spillover"]
    if within and "within_spillover" in draws:
        others = others + q * draws["within_spillover"]
    return q * own + (1 - q) * others


def _words(exp: Experiment, exposure: MeanExposure, assumption: str) -> str:
    words = ASSUMPTIONS[assumption]
    if not exp.has_spillover and assumption == NONE:
        return "no spillover is modelled: each user's outcome depends on their own treatment only"
    if assumption in (PROPORTIONAL, CONSTANT):
        words += f" (observed: {percent(round(exposure.untreated, 4))} of untreated users"
        if exp.spec.design.interaction:
            words += f", {percent(round(exposure.treated, 4))} of treated users"
        words += f", at {percent(round(exposure.share, 4))} treated)"
        if exp.spec.design.saturation is not None:
            words += "; untreated users also gain from treated users of their own cluster"
    return words
