"""Records of the methods that estimate an effect, and of unusable ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A way to estimate an effect.

    Parameters
    ----------
    key : str
        Identifier.
    label : str
        Name in tables and messages.
    """

    key: str
    label: str


@dataclass(frozen=True)
class Unusable:
    """A method that a design does not allow, or that cannot reject in it.

    Parameters
    ----------
    method : Method
        The method.
    reason : str
        Why it is unusable.
    effect : str, optional
        The only effect concerned; None for all.
    applies : bool
        Whether it would be about the effect, if the design allowed it.
    """

    method: Method
    reason: str
    effect: str | None = None
    applies: bool = True

    @property
    def label(self) -> str:
        """The method, with the effect if only one is concerned."""
        return self.method.label + (f" of {self.effect}" if self.effect else "")


NAIVE_OLS = Method("naive_ols", "naive OLS")
TWO_EXPOSURE = Method("two_exposure", "two-exposure OLS")
OVER_USERS = Method("over_users", "OLS over users")
OVER_CLUSTERS = Method("over_clusters", "OLS over clusters")
#: The regression of each average.
OVER: dict[str, Method] = {"user": OVER_USERS, "cluster": OVER_CLUSTERS}
UNADJUSTED = Method("unadjusted", "two-exposure OLS without expected exposure")
RECENTRED = Method("recentred", "recentred OLS")
EXPOSURE_WEIGHTED = Method("exposure_weighted", "exposure-weighted OLS")
HAJEK = Method("hajek", "Hajek contrast")
HORVITZ_THOMPSON = Method("horvitz_thompson", "Horvitz-Thompson contrast")
SPILLOVER_TEST = Method("spillover_test", "conditional randomisation test of spillover")
CLUSTER_WLS = Method("cluster_wls", "cluster WLS")
RANDOMIZATION = Method("randomization", "randomisation test")
WILD = Method("wild", "wild cluster bootstrap")
BOOTSTRAP = Method("bootstrap", "cluster bootstrap")
