"""From the mechanism that a specification names to the object that draws from it."""

from __future__ import annotations

from .._support.arrays import Booleans
from ..data.cluster_moments import ClusterMoments
from ..data.input_validation import check_pairs
from ..errors import DesignError
from ..spec.model_spec import ModelSpec
from .mechanisms import Assignment, Complete, Stratified
from .redrawn_mechanisms import Bernoulli, Rerandomised


def mechanism_of(moments: ClusterMoments, treated: Booleans, spec: ModelSpec) -> Assignment:
    """Return the mechanism that a specification names, with the numbers of clusters in the data.

    Parameters
    ----------
    moments : ClusterMoments
        The data.
    treated : ndarray, shape (J,)
        Which clusters are treated.
    spec : ModelSpec
        The specification.

    Raises
    ------
    DesignError
        Where the mechanism cannot have made the assignment in the data; the message names the
        column.
    """
    design, groups = spec.design, moments.n_clusters
    if design.mechanism == "bernoulli":
        return Bernoulli(groups)
    if design.mechanism == "matched_pairs":
        check_pairs(moments, spec)
    mechanism: Assignment = Complete(groups, int(treated.sum()))
    if moments.strata is not None and design.mechanism != "complete":
        pairs = dict.fromkeys(moments.stratum_levels.tolist(), 1)
        try:
            if design.mechanism == "matched_pairs":
                mechanism = Stratified(moments.strata, pairs)
            else:
                mechanism = Stratified.of(treated, moments.strata)
            mechanism.check(treated)
        except DesignError as error:
            raise DesignError(f"column {design.strata!r} (strata): {error}") from None
    if design.mechanism != "rerandomised":
        return mechanism
    at = [moments.column(name) for name in design.balance]
    mechanism = Rerandomised(mechanism, moments.mean[:, at], float(design.max_distance or 0))
    mechanism.check(treated)
    return mechanism
