"""Cluster sizes, and the regressors by which a cluster's level and effects depend on its size.

With g_j = log n_j minus its mean over users, the model gains the regressors g_j and x g_j for each
effect's regressor x. Both follow from a cluster's moments (or cells) and g_j, because g_j is
constant within the cluster: no second scan is needed. At g_j = 0 an effect that is linear in log
size is the average over users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def centred_log_sizes(data: ClusterMoments | CellCounts) -> Floats:
    """Return log n_j minus its mean over users, which weights clusters by n_j; shape (J,)."""
    logs = np.log(data.sizes)
    return logs - data.sizes @ logs / data.sizes.sum()


def moments_by_size(
    moments: ClusterMoments, effects: Sequence[str], at: Mapping[str, float] | None = None
) -> ClusterMoments:
    """Return moments with the regressors g and x (g - at) appended, x the effects' regressors.

    Parameters
    ----------
    moments : ClusterMoments
        The moments; `effects` are among its regressors.
    effects : sequence of str
        Names of the effects.
    at : mapping of str to float, optional
        For each effect, the centred log size at which its coefficient is the effect; by default
        zero, the mean over users.
    """
    g = centred_log_sizes(moments)
    shifted = g[:, None] - np.array([(at or {}).get(name, 0.0) for name in effects])
    columns = [moments.column(name) for name in effects]
    p, q = len(moments.names), len(columns)
    # Within a cluster each new variable is a multiple of an old one; g itself does not vary.
    source = [*range(p), p, *columns, p]
    factor = np.ones((moments.n_clusters, len(source)))
    factor[:, p] = 0.0
    factor[:, p + 1 : -1] = shifted
    cross = moments.cross[:, source][:, :, source] * factor[:, :, None] * factor[:, None, :]
    products = shifted * moments.means[:, columns]
    mean = np.column_stack([moments.mean[:, :p], g, products, moments.mean[:, p]])
    origin = np.concatenate([moments.origin[:p], np.zeros(1 + q), moments.origin[p:]])
    names = (*moments.names, *size_terms(effects))
    return replace(moments, mean=mean, cross=cross, origin=origin, names=names)


def cells_by_size(cells: CellCounts, effects: Sequence[str]) -> CellCounts:
    """Return cells with the regressors g and x g appended; see :func:`moments_by_size`."""
    g = centred_log_sizes(cells)[cells.cluster]
    at = [cells.names.index(name) for name in effects]
    x = np.column_stack([cells.x, g, g[:, None] * cells.x[:, at]])
    return replace(cells, x=x, names=(*cells.names, *size_terms(effects)))
