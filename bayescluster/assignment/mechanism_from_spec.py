"""The mechanism of an experiment: the one given in code, or the one that the design names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Booleans, Floats
from ..errors import DesignError, StrataError
from ..spec.model_spec import DesignSpec
from .coin_flips_and_rerandomisation import Bernoulli, Rerandomised
from .mechanisms import Complete, Mechanism, Stratified


def check_given(mechanism: object, named: str | None) -> None:
    """Raise if what is given is not a mechanism, or the design names one too."""
    if not isinstance(mechanism, Mechanism):
        raise TypeError(f"mechanism must be a Mechanism, not {type(mechanism).__name__}")
    if named is not None:
        raise DesignError(
            f"the specification names mechanism {named!r}, and another one is given: leave out one "
            "of them"
        )


def mechanism_of(
    design: DesignSpec,
    treated: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    balance: Floats | None = None,
) -> Mechanism:
    """Return the mechanism that a design names, with the numbers of treated units in the data.

    Parameters
    ----------
    design : DesignSpec
        The design.
    treated : array-like of bool, shape (J,)
        The assignment of the units: clusters, or single users where ``design.level`` is "unit".
    strata : array-like, shape (J,), optional
        Stratum of each cluster. Of single users: their cluster.
    balance : ndarray, shape (J, k), optional
        What rerandomisation balanced.

    Raises
    ------
    StrataError
        If a matched pair does not have two clusters.
    DesignError
        If the mechanism cannot have made the assignment; the message names the column.
    """
    arm = np.asarray(treated, dtype=bool)
    by_user = design.level == "unit"
    if arm.all() or not arm.any():
        raise DesignError(
            f"column {design.treatment!r} (treatment) is {int(arm[0])} in all {len(arm):,} "
            f"{'users' if by_user else 'clusters'}: there is nothing to compare with"
        )
    labels = None if strata is None else np.asarray(strata)
    if by_user:
        assert labels is not None
        return Stratified.of(arm, labels, allow_constant=True)
    if design.mechanism == "bernoulli":
        return Bernoulli(len(arm))
    mechanism: Mechanism
    if labels is None or design.mechanism == "complete":
        mechanism = Complete(len(arm), int(arm.sum()))
    else:
        mechanism = _stratified(design, arm, labels)
    if design.mechanism != "rerandomised":
        return mechanism
    if balance is None:
        raise DesignError(
            "rerandomisation depends on covariates of the users: pass the object, "
            "expose(..., mechanism=Rerandomised(...))"
        )
    mechanism = Rerandomised(mechanism, balance, float(design.max_distance or 0))
    mechanism.check(arm)
    return mechanism


def _stratified(design: DesignSpec, arm: Booleans, strata: NDArray[Any]) -> Stratified:
    """Return stratified randomisation, or that of pairs; errors name the column of the strata."""
    pairs = _pairs(design, strata) if design.mechanism == "matched_pairs" else None
    try:
        if pairs is None:
            return Stratified.of(arm, strata)
        mechanism = Stratified(strata, pairs)
        mechanism.check(arm)
        return mechanism
    except DesignError as error:
        raise DesignError(f"column {design.strata!r} (strata): {error}") from None


def _pairs(design: DesignSpec, strata: NDArray[Any]) -> dict[Any, int]:
    levels, size = np.unique(strata, return_counts=True)
    wrong = levels[size != 2].tolist()
    if wrong:
        some = ", ".join(map(repr, wrong[:3])) + ", ..." * (len(wrong) > 3)
        raise StrataError(
            f"{len(wrong):,} strata of column {design.strata!r}, such as {some}, do not have two "
            "clusters, as matched pairs do; name mechanism 'stratified'"
        )
    return dict.fromkeys(levels.tolist(), 1)
