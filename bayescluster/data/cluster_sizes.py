"""Cluster sizes, and the regressors by which a cluster's level and effects depend on its size.

With g_j = log n_j minus its mean over users, the model gains the regressors g_j and x g_j for each
effect's regressor x. Both follow from a cluster's moments (or cells) and g_j, because g_j is
constant within the cluster: no second scan is needed. At g_j = 0 an effect that is linear in log
size is the average over users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .._support.arrays import Floats
from ..spec.size_terms import size_terms
from .cell_counts import CellCounts
from .cluster_moments import ClusterMoments

#: Sizes vary if the standard deviation of their logarithms is at least this.
LEAST_LOG_SD = 0.1


def log_size_sd(moments: ClusterMoments) -> float:
    """Return the standard deviation of the logarithm of cluster size over clusters."""
    return float(np.log(moments.sizes).std(ddof=1)) if moments.n_clusters > 1 else 0.0


def centred_log_sizes(moments: ClusterMoments) -> Floats:
    """Return log n_j minus its mean over users, which weights clusters by n_j; shape (J,)."""
    logs = np.log(moments.sizes)
    return logs - moments.sizes @ logs / moments.sizes.sum()


def moments_by_size(moments: ClusterMoments, effects: Sequence[str]) -> ClusterMoments:
    """Return moments with the regressors g and x g appended, x the effects' regressors.

    Parameters
    ----------
    moments : ClusterMoments
        The moments; `effects` are among its regressors.
    effects : sequence of str
        Names of the effects.
    """
    g = centred_log_sizes(moments)
    at = [moments.column(name) for name in effects]
    p, q = len(moments.names), len(at)
    # New variables are T_j v: the regressors, g (constant), x g, and the outcome.
    transform = np.zeros((moments.n_clusters, p + q + 2, p + 1))
    transform[:, range(p), range(p)] = 1.0
    for i, column in enumerate(at):
        transform[:, p + 1 + i, column] = g
    transform[:, -1, p] = 1.0
    cross = transform @ moments.cross @ transform.transpose(0, 2, 1)
    products = g[:, None] * moments.means[:, at]
    mean = np.column_stack([moments.mean[:, :p], g, products, moments.mean[:, p]])
    origin = np.concatenate([moments.origin[:p], np.zeros(1 + q), moments.origin[p:]])
    names = (*moments.names, *size_terms(effects))
    return replace(moments, mean=mean, cross=cross, origin=origin, names=names)


def cells_by_size(cells: CellCounts, effects: Sequence[str]) -> CellCounts:
    """Return cells with the regressors g and x g appended; see :func:`moments_by_size`."""
    g = centred_log_sizes(cells.to_moments())[cells.cluster]
    at = [cells.names.index(name) for name in effects]
    x = np.column_stack([cells.x, g, g[:, None] * cells.x[:, at]])
    return replace(cells, x=x, names=(*cells.names, *size_terms(effects)))
