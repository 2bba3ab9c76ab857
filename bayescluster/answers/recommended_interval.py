"""Which interval to read first, given how many clusters there are and what they allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..frequentist.method import RANDOMIZATION, WILD, Method

#: Fewer (effective) clusters than this, and normal approximations fail ...
MIN_CLUSTERS = 30
#: ... and with fewer than this, so do most remedies.
FEW_CLUSTERS = 10

CR2 = Method("cr2", "OLS, CR2")
TWO_EXPOSURE_CR2 = Method("two_exposure_cr2", "two-exposure OLS, CR2")
CR2_AND_POSTERIOR = Method("cr2_and_posterior", "CR2 and the posterior")


@dataclass(frozen=True)
class Recommendation:
    """An interval to read first.

    Parameters
    ----------
    method : Method
        The method.
    reason : str
        Why.
    """

    method: Method
    reason: str


def recommend(
    clusters: float,
    has_spillover: bool,
    unusable: Mapping[Method, str] | None = None,
    effect: str = "direct",
) -> Recommendation:
    """Say which interval to read first, and why.

    Parameters
    ----------
    clusters : float
        Effective number of clusters.
    has_spillover : bool
        Whether spillover is modelled: the randomisation test then tests something else.
    unusable : mapping of Method to str, optional
        Methods that this design does not allow, or by which it cannot reject, each with the reason.
        They are passed over, and the reason is given.
    effect : str
        Which effect the interval is of: the randomisation test is of the direct effect only.
    """
    known = unusable or {}
    if clusters >= MIN_CLUSTERS:
        return Recommendation(
            TWO_EXPOSURE_CR2 if has_spillover else CR2,
            "there are clusters enough for CR2, the bootstrap and the posterior to agree",
        )
    both = "CR2 goes by its degrees of freedom, and the posterior's priors carry weight"
    if clusters >= FEW_CLUSTERS:
        first = Recommendation(
            WILD,
            "read the wild cluster bootstrap, or CR2 with its degrees of freedom; the pairs "
            "bootstrap and CR1 are too confident",
        )
    elif has_spillover:
        exact = "; the randomisation test is exact, for the null of no effect of any kind"
        usable = effect == "direct" and RANDOMIZATION not in known
        return Recommendation(CR2_AND_POSTERIOR, both + exact * usable)
    else:
        first = Recommendation(
            RANDOMIZATION,
            "read the randomisation test, the one that is exact with any number of clusters",
        )
    if reason := known.get(first.method):
        why = f"{both}; the {first.method.label} is of no use here: {reason}"
        return Recommendation(CR2_AND_POSTERIOR, why)
    return first
