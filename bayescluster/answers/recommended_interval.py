"""Which interval to read first, given how many clusters there are and what they allow."""

from __future__ import annotations

from collections.abc import Mapping

#: Fewer (effective) clusters than this, and normal approximations fail ...
MIN_CLUSTERS = 30
#: ... and with fewer than this, so do most remedies.
FEW_CLUSTERS = 10


def recommend(
    clusters: float,
    has_spillover: bool,
    unusable: Mapping[str, str] | None = None,
    effect: str = "direct",
) -> tuple[str, str]:
    """Say which interval to read first, and why.

    Parameters
    ----------
    clusters : float
        Effective number of clusters.
    has_spillover : bool
        Whether spillover is modelled: the randomisation test then tests something else.
    unusable : mapping of str to str, optional
        Methods that this design does not allow, or by which it cannot reject, each with the reason.
        They are passed over, and the reason is said.
    effect : str
        Which effect the interval is of: the randomisation test knows of the direct one only.

    Returns
    -------
    tuple of str
        Method and reason.
    """
    cr2 = "two-exposure OLS, CR2" if has_spillover else "OLS, CR2"
    posterior = (
        "CR2 and the posterior",
        "CR2 goes by its degrees of freedom, and the posterior's priors carry weight",
    )
    if clusters >= MIN_CLUSTERS:
        return cr2, "there are clusters enough for CR2, the bootstrap and the posterior to agree"
    if clusters >= FEW_CLUSTERS:
        first = (
            "wild cluster bootstrap",
            "read the wild cluster bootstrap, or CR2 with its degrees of freedom; the pairs "
            "bootstrap and CR1 are too confident",
        )
    elif has_spillover:
        exact = "; the randomisation test is exact, for the null of no effect of any kind"
        usable = effect == "direct" and "randomisation test" not in (unusable or {})
        return posterior[0], posterior[1] + exact * usable
    else:
        first = (
            "randomisation test",
            "read the randomisation test, the one that is exact with any number of clusters",
        )
    if reason := (unusable or {}).get(first[0]):
        return posterior[0], f"{posterior[1]}; the {first[0]} is of no use here: {reason}"
    return first
