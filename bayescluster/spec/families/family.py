"""What an outcome family is: one record, which everything else reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..priors import Prior
from .links import IDENTITY, Link

#: Effects and slopes, which share their default prior in families with a link.
SLOPES = ("direct", "spillover", "interaction", "within_spillover", "covariate")
#: Default priors on a link scale, where one standard deviation counts as 1.
LINK_PRIORS: Mapping[str, Prior] = {
    "intercept_mean": Prior(distribution="normal", mu=0, sigma=1.5),
    "stratum_effect": Prior(distribution="normal", mu=0, sigma=1),
    **{name: Prior(distribution="normal", mu=0, sigma=1) for name in SLOPES},
}


@dataclass(frozen=True)
class Support:
    """The outcomes that a family can have.

    Parameters
    ----------
    outside : callable
        Takes outcomes (an array or a column of a table) and says which ones the family cannot have;
        written with comparisons, ``&``, ``|`` and arithmetic, which both kinds know.
    fault : str
        What is wrong with them, such as "neither 0 nor 1".
    remedy : str
        What to do about them.
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
        Its name in the posterior; :class:`bayescluster.spec.PriorsSpec` has its prior.
    trial : float
        A plausible value, at which numerical methods are tuned.
    """

    name: str
    trial: float = 1.0


@dataclass(frozen=True)
class CellDensity:
    """The log-density of a family that is fitted to cells of like units.

    Arguments of the functions: the linear predictor `eta`, the units `n` and the `total` of their
    outcomes of each cell, `shape` (the extra parameter) and `scale` (within_sd), which broadcast.
    `xp` is the module that holds exp, log and so on: ``numpy`` or ``pytensor.tensor``, so that the
    density which PyMC samples is the one that tests evaluate.

    Parameters
    ----------
    log_density : callable
        ``(xp, eta, n, total, shape, scale)``: the part of the log-density of a cell's units that
        depends on the linear predictor.
    score_and_information : callable
        ``(eta, n, total, shape, scale)``: its first and negative second derivative in eta (or the
        expected information, where the density is not log-concave).
    own : callable, optional
        ``(xp, value, shape, scale, gammaln)``: the part of one unit's log-density that depends on
        its outcome alone; None where there is none.
    own_varies : bool
        Whether that part depends on the outcome's value.
    kernel : pair of callable, optional
        Scalar functions of one cell for Numba, ``(eta, n, total, shape)``: log-density with its
        derivatives in eta and shape; score and information. None where the cluster intercepts are
        always sampled.
    by_value : bool
        Whether cells are keyed by the outcome too, because `total` is not sufficient.
    """

    log_density: Callable[..., Any]
    score_and_information: Callable[..., tuple[Any, Any]]
    own: Callable[..., Any] | None = None
    own_varies: bool = True
    kernel: tuple[Callable[..., Any], Callable[..., Any]] | None = None
    by_value: bool = False


@dataclass(frozen=True)
class FamilyWords:
    """What a family is called on cards and in checks.

    Parameters
    ----------
    equation : str
        Distribution of a unit's outcome, in LaTeX.
    link_equation : str
        How its parameter follows from the linear predictor eta, in LaTeX; empty for the identity.
    cluster_mean : str
        What the mean of a cluster's outcomes is.
    contrast : str
        What an effect on the scale of the threshold is a difference of; empty for the outcome.
    within_sd : str
        What within_sd is.
    too_variable : str
        What to do where the data vary more than the family allows.
    """

    equation: str
    link_equation: str = ""
    cluster_mean: str = "mean of a cluster"
    contrast: str = ""
    within_sd: str = "SD of units within a cluster"
    too_variable: str = ""


@dataclass(frozen=True)
class Family:
    """The distribution of an outcome within a cluster, and all that follows from it.

    Parameters
    ----------
    name : str
        Its name in specifications.
    words : FamilyWords
        What it is called.
    draw_units : callable
        ``(rng, eta, shape, scale)``: outcomes of single units at linear predictors, in the
        outcome's own unit.
    draw_totals : callable
        ``(rng, eta, n, shape, scale)``: sums of the outcomes of `n` new units at each linear
        predictor (of their logarithms, where `log_outcome`).
    link : Link
        From the mean to the linear predictor.
    cells : CellDensity, optional
        How it is fitted to cells of like units; None for families that are gaussian, on the
        outcome's or the log scale, and fitted to moments.
    log_outcome : bool
        Whether the model is of the outcome's logarithm.
    has_within_sd : bool
        Whether units scatter within a cluster by a parameter of their own, within_sd.
    extra : ExtraParameter, optional
        A further parameter.
    support : Support, optional
        Outcomes that it can have; None for every number.
    is_discrete : bool
        Whether outcomes have probabilities, rather than densities.
    is_count : bool
        Whether outcomes are counts.
    variance : callable, optional
        ``(mean, shape)``: variance of one unit's outcome; None where within_sd says it.
    ratio : str
        What exp(coefficient) is, such as "odds ratio"; empty where it is none.
    default_priors : mapping of str to Prior
        Defaults that differ from those of :class:`bayescluster.spec.PriorsSpec`.
    predictors : tuple of str
        The linear predictors. A family with two of them (a hurdle: whether, and how much) names
        both, and its functions take one `eta` for each, stacked on the first axis.
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
        """Whether the linear predictor is on another scale than the outcome's mean."""
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
        """Unit of intercepts and effects, where it is not the outcome's own; else empty."""
        return "log of the outcome" if self.log_outcome else self.link.unit

    def transformed(self, outcome: Any) -> Any:
        """Return outcomes on the scale of the model."""
        return np.log(outcome) if self.log_outcome else outcome

    def restored(self, values: Any) -> Any:
        """Return values on the scale of the model as outcomes; beyond what floats hold, inf."""
        if not self.log_outcome:
            return values
        with np.errstate(over="ignore"):
            return np.exp(values)
