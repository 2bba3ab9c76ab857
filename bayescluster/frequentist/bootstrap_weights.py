"""Weights of the cluster bootstrap: resampling groups, and how often each cluster is drawn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats, Integers
from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from ..errors import DesignError


def resampling_groups(exp: Experiment, within_arm: bool) -> NDArray[Any] | None:
    """Return the group within which each cluster is resampled; None for all clusters."""
    moments = exp.moments()
    if moments.strata is None and not within_arm:
        return None
    code = moments.stratum_code
    group = 2 * code + exp.treated if within_arm else code
    single = np.bincount(group)[group] == 1
    if within_arm and single.any():
        where = f"an arm of {len(np.unique(code[single])):,} of {code.max() + 1:,} strata"
        raise DesignError(
            f"within_arm resamples single clusters: {where}{_strata_text(moments, single)} has one "
            "cluster, whose resampling adds no variation, so intervals would be too narrow or have "
            "zero width; leave out within_arm to resample the clusters of a stratum (the two of a "
            "matched pair) regardless of arm"
        )
    varying = np.einsum("jaa->ja", moments.cross)[:, : len(moments.names)].any(axis=1)
    if (alone := single & varying).any():
        warnings.warn(
            f"{int(alone.sum()):,} of {code.max() + 1:,} strata{_strata_text(moments, alone)} have "
            "one cluster, whose resampling adds no variation: intervals of effects and covariates "
            "that vary within clusters are too narrow; merge these strata with others",
            UserWarning,
            stacklevel=3,
        )
    return group


def _strata_text(moments: ClusterMoments, clusters: Booleans) -> str:
    """Return the first strata of the given clusters as text; empty without strata."""
    if moments.strata is None:
        return ""
    return f" (such as {', '.join(map(repr, np.unique(moments.strata[clusters])[:3].tolist()))})"


def resampling_weights(
    order: Integers, strata: NDArray[Any] | None, draws: int, seed: int | None, width: int = 1
) -> Iterator[Floats]:
    """Yield blocks of multinomial cluster weights, shape (B, J), with `draws` rows in total.

    Parameters
    ----------
    order : ndarray, shape (J,)
        Positions of the clusters in the moments, in the order in which they are drawn.
    strata : ndarray, shape (J,), optional
        Stratum of each cluster in the moments; clusters are then drawn within strata.
    draws : int
        Number of replicates. The result does not depend on the size of the blocks.
    seed : int or None
        Seed of the generator.
    width : int
        Numbers that the caller stores per replicate, if more than the number of clusters.
    """
    rng = np.random.default_rng(seed)
    groups = len(order)
    label = np.zeros(groups, dtype=int) if strata is None else pd.factorize(strata)[0]
    order = order[np.argsort(label[order], kind="stable")]  # clusters of a stratum are adjacent
    size = np.bincount(label)[label[order]]
    first = np.searchsorted(label[order], label[order])
    high: int | Integers = groups if strata is None else size
    block = max(1, BLOCK_ELEMENTS // max(groups, width))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = order[first + rng.integers(0, high, size=(rows, groups))]
        flat = drawn + groups * np.arange(rows)[:, None]
        yield np.bincount(flat.ravel(), minlength=rows * groups).reshape(rows, groups).astype(float)
