"""The record that defines an outcome family; all other code reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..priors import Prior
from ..size_terms import EFFECTS
from .links import IDENTITY, Link

#: Default priors on a link scale, where one standard deviation counts as 1.
LINK_PRIORS: Mapping[str, Prior] = {
    "intercept_mean": Prior(distribution="normal", mu=0, sigma=1.5),
    "stratum_effect": Prior(distribution="normal", mu=0, sigma=1),
    "covariate": Prior(distribution="normal", mu=0, sigma=1),
    **{name: Prior(distribution="normal", mu=0, sigma=1.5) for name in EFFECTS},
}


@dataclass(frozen=True)
class Support:
    """The outcomes that a family can have.

    Parameters
    ----------
    outside : callable
        Takes outcomes (an array or a table column) and marks those that the family cannot have.
        Use only comparisons, ``&``, ``|`` and arithmetic, which work on both.
    fault : str
        What is wrong with these outcomes, such as "neither 0 nor 1".
    remedy : str
        What the user can do about them.
    """

    outside: Callable[[Any], Any]
    fault: str
    remedy: str


@dataclass(frozen=True)
class ExtraParameter:
    """A parameter that a family has besides its linear predictor and within_sd.

    Parameters
    ----------
    name : str
        Its name in the posterior; :class:`bayescluster.spec.PriorsSpec` holds its prior.
    typical_value : float
        A plausible value; numerical methods are tuned there.
    """

    name: str
    typical_value: float = 1.0


@dataclass(frozen=True)
class CellDensity:
    """The log-density of a family that is fitted to cells of like units.

    The functions take, for each cell, the linear predictor `eta`, the number of units `n` and the
    `total` of their outcomes; and `shape` (the extra parameter) and `scale` (within_sd). All
    broadcast. `xp` is the module with exp, log and so on, ``numpy`` or ``pytensor.tensor``, so that
    tests evaluate the same density that PyMC samples.

    Parameters
    ----------
    log_density : callable
        ``(xp, eta, n, total, shape, scale)``: the part of the log-density of a cell's units that
        depends on the linear predictor.
    score_and_information : callable
        ``(eta, n, total, shape, scale)``: its first and negative second derivative in eta (or the
        expected information, if the density is not log-concave).
    outcome_term : callable, optional
        ``(xp, value, shape, scale, gammaln)``: the part of one unit's log-density that depends only
        on its outcome; None if there is no such part.
    outcome_term_varies : bool
        Whether that part depends on the outcome's value.
    kernel : pair of callable, optional
        Scalar functions of one cell for Numba, ``(eta, n, total, shape)``: log-density with its
        derivatives in eta and shape; score and information. None if the cluster intercepts are
        always sampled.
    by_value : bool
        Whether the outcome is part of a cell's key, because `total` is not sufficient.
    """

    log_density: Callable[..., Any]
    score_and_information: Callable[..., tuple[Any, Any]]
    outcome_term: Callable[..., Any] | None = None
    outcome_term_varies: bool = True
    kernel: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    by_value: bool = False


@dataclass(frozen=True)
class FamilyWords:
    """Texts about a family for model cards and checks.

    Parameters
    ----------
    equation : str
        Distribution of a unit's outcome, in LaTeX.
    link_equation : str
        Equation that links its parameter to the linear predictor eta, in LaTeX; empty for the
        identity.
    cluster_mean : str
        Name of the mean of a cluster's outcomes.
    contrast : str
        Meaning of an effect on the scale of the threshold, such as "a difference of means"; empty
        if it is a difference in the outcome's own unit.
    within_sd : str
        Meaning of within_sd.
    too_variable : str
        Advice if the data vary more than the family allows.
    """

    equation: str
    link_equation: str = ""
    cluster_mean: str = "mean of a cluster"
    contrast: str = ""
    within_sd: str = "SD of units within a cluster"
    too_variable: str = ""


@dataclass(frozen=True)
class Family:
    """The distribution of an outcome within a cluster, with everything the package needs of it.

    Parameters
    ----------
    name : str
        Name of the family in specifications.
    words : FamilyWords
        Texts about the family.
    draw_units : callable
        ``(rng, eta, shape, scale)``: draws one unit's outcome for each linear predictor, in the
        outcome's own unit.
    draw_totals : callable
        ``(rng, eta, n, shape, scale)``: draws, for each linear predictor, the sum of the outcomes
        of `n` new units (of their logarithms, if `log_outcome`).
    link : Link
        Link function, from the mean to the linear predictor.
    cells : CellDensity, optional
        The density of cells of like units. None for families that are gaussian (on the outcome's
        or the log scale) and are fitted to moments.
    log_outcome : bool
        Whether the model describes the logarithm of the outcome.
    has_within_sd : bool
        Whether the family has the parameter within_sd, the scale of units within a cluster.
    extra : ExtraParameter, optional
        A further parameter.
    support : Support, optional
        The outcomes that are possible; None for any number.
    is_discrete : bool
        Whether outcomes have probabilities, rather than densities.
    is_count : bool
        Whether outcomes are counts.
    variance : callable, optional
        ``(mean, shape)``: variance of one unit's outcome; None if within_sd gives it.
    ratio : str
        Name of exp(coefficient), such as "odds ratio"; empty if it is not a ratio.
    default_priors : mapping of str to Prior
        Defaults that differ from those of :class:`bayescluster.spec.PriorsSpec`.
    predictors : tuple of str
        Names of the linear predictors. A family with two of them (a hurdle: any event, and how
        many) names both. Its functions then take the two `eta` stacked on the first axis.
    """

    name: str
    words: FamilyWords
    draw_units: Callable[..., Any]
    draw_totals: Callable[..., Any]
    link: Link = IDENTITY
    cells: CellDensity | None = None
    log_outcome: bool = False
    has_within_sd: bool = False
    extra: ExtraParameter | None = None
    support: Support | None = None
    is_discrete: bool = False
    is_count: bool = False
    variance: Callable[..., Any] | None = None
    ratio: str = ""
    default_priors: Mapping[str, Prior] = field(default_factory=dict)
    predictors: tuple[str, ...] = ("mean",)

    @property
    def has_link(self) -> bool:
        """Whether the linear predictor and the outcome's mean are on different scales."""
        return bool(self.link)

    @property
    def is_binary(self) -> bool:
        """Whether outcomes are 0 or 1."""
        return self.is_discrete and not self.is_count

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the family's own parameters: within_sd, then the extra one."""
        extra = (self.extra.name,) if self.extra else ()
        return (*(("within_sd",) if self.has_within_sd else ()), *extra)

    @property
    def unit(self) -> str:
        """Unit of intercepts and effects; empty if it is the outcome's own."""
        return "log of the outcome" if self.log_outcome else self.link.unit

    def transformed(self, outcome: Any) -> Any:
        """Return outcomes on the model's scale."""
        return np.log(outcome) if self.log_outcome else outcome

    def restored(self, values: Any) -> Any:
        """Return values on the model's scale as outcomes; inf if floats overflow."""
        if not self.log_outcome:
            return values
        with np.errstate(over="ignore"):
            return np.exp(values)
