"""What a partial rollout identifies: contrasts at the shares that were treated, and no others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .experiment import Experiment

#: Shares treated are 0 or 1 within this.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Saturations:
    """Shares of the clusters' users that were treated.

    Parameters
    ----------
    lowest, highest : float
        The smallest and the largest share.
    lowest_treated : float
        The smallest share above zero.
    mean : float
        Mean share of users, over clusters with treated users.
    """

    lowest: float
    highest: float
    lowest_treated: float
    mean: float

    @classmethod
    def of(cls, exp: Experiment) -> Saturations:
        """Return the shares of an experiment whose single users were treated."""
        moments = exp.moments()
        share = moments.means[:, moments.column("direct")]
        treated = share > TOLERANCE
        return cls(
            lowest=float(share.min()),
            highest=float(share.max()),
            lowest_treated=float(share[treated].min()),
            mean=float(np.average(share[treated], weights=moments.n[treated])),
        )

    @property
    def has_untreated(self) -> bool:
        """Whether there are clusters with nobody treated."""
        return self.lowest <= TOLERANCE

    @property
    def has_full(self) -> bool:
        """Whether there are clusters with everybody treated."""
        return self.highest >= 1 - TOLERANCE

    @property
    def varies(self) -> bool:
        """Whether clusters differ in their share."""
        return self.highest - self.lowest > TOLERANCE

    @property
    def words(self) -> str:
        """The range in words."""
        if not self.varies:
            return f"{self.lowest:.0%}"
        return f"{self.lowest:.0%} to {self.highest:.0%}"


def not_identified(exp: Experiment) -> dict[str, str]:
    """Return the effects that this design extrapolates to clusters that do not exist, with reasons.

    Only partial rollouts have any: a contrast with nobody treated needs clusters with 0% treated,
    and a full rollout needs clusters with 100% treated besides.
    """
    if exp.spec.design.level != "unit":
        return {}
    found = Saturations.of(exp)
    within = "within_spillover" in exp.spec.design.effects
    none = (
        f"no cluster has 0% treated (shares treated: {found.words}), so the contrast with nobody "
        "treated is an extrapolation"
    )
    reasons: dict[str, str] = {}
    if not found.has_untreated:
        if within:
            reasons |= {"direct": none, "within_spillover": none}
        reasons["full rollout"] = none
    elif not found.has_full:
        reasons["full rollout"] = (
            f"no cluster has 100% treated (shares treated: {found.words}), so the effect of "
            "treating everybody is an extrapolation"
        )
    return reasons
