"""The interval to read first, by the number of clusters and the usable methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..frequentist.method_labels import RANDOMIZATION, WILD, Method

#: Below this (effective) number of clusters, normal approximations fail ...
MIN_CLUSTERS = 30
#: ... and below this, so do most remedies.
FEW_CLUSTERS = 10

CR2 = Method("cr2", "OLS, CR2")
TWO_EXPOSURE_CR2 = Method("two_exposure_cr2", "two-exposure OLS, CR2")
CR2_AND_POSTERIOR = Method("cr2_and_posterior", "CR2 and the posterior")


@dataclass(frozen=True)
class Recommendation:
    """The interval to read first.

    Parameters
    ----------
    method : Method
        Method of the interval.
    reason : str
        Why to read it first.
    """

    method: Method
    reason: str


def recommend(
    clusters: float,
    has_spillover: bool,
    unusable: Mapping[Method, str] | None = None,
    effect: str = "direct",
) -> Recommendation:
    """Return the interval to read first, with the reason.

    Parameters
    ----------
    clusters : float
        Effective number of clusters.
    has_spillover : bool
        Whether spillover is modelled. If so, the randomisation test has a different null.
    unusable : mapping of Method to str, optional
        Methods that this design does not allow, or that cannot reject in it, each with the reason.
        They are skipped, and the reason is quoted.
    effect : str
        Effect of the interval. The randomisation test is for the direct effect only.
    """
    known = unusable or {}
    if clusters >= MIN_CLUSTERS:
        return Recommendation(
            TWO_EXPOSURE_CR2 if has_spillover else CR2,
            "there are enough clusters for CR2, the bootstrap and the posterior to agree",
        )
    both = "CR2 relies on its degrees of freedom, and the posterior on its priors"
    if clusters >= FEW_CLUSTERS:
        first = Recommendation(
            WILD,
            "read the wild cluster bootstrap, or CR2 with its degrees of freedom; intervals "
            "of the pairs bootstrap and of CR1 are too short",
        )
    elif has_spillover:
        exact = "; the randomisation test is exact for the null of no effect of any kind"
        usable = effect == "direct" and RANDOMIZATION not in known
        return Recommendation(CR2_AND_POSTERIOR, both + exact * usable)
    else:
        first = Recommendation(
            RANDOMIZATION,
            "read the randomisation test, which is exact for any number of clusters",
        )
    if reason := known.get(first.method):
        why = f"{both}; the {first.method.label} cannot be used here: {reason}"
        return Recommendation(CR2_AND_POSTERIOR, why)
    return first
