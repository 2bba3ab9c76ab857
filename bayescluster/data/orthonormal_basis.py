"""Coordinates in which the regressors are orthonormal; regressors that have none are refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._support.arrays import Floats, Integers
from ..errors import IdentificationError
from .cluster_moments import ClusterMoments

#: Smallest eigenvalue of the regressors' correlation matrix that still counts as full rank.
RANK_TOLERANCE = 1e-11


@dataclass(frozen=True, eq=False)
class OrthonormalBasis:
    """What takes k regressors, less their means in each of S strata, to orthonormal coordinates.

    Parameters
    ----------
    size : ndarray, shape (S,)
        Units of each stratum; one stratum if the design has none.
    center : ndarray, shape (S, k + 1)
        Means of regressors and outcome in each stratum, from the origin of the moments.
    scale : ndarray, shape (k + 1,)
        Their standard deviations within strata.
    gram : ndarray, shape (J, k + 2, k + 2)
        Gram matrix per cluster of [1 / sqrt(N_s), orthonormal regressors, scaled outcome].
    root : ndarray, shape (k, k)
        Takes scaled regressors to orthonormal coordinates.
    """

    size: Floats
    center: Floats
    scale: Floats
    gram: Floats
    root: Floats

    @classmethod
    def of(cls, moments: ClusterMoments) -> OrthonormalBasis:
        """Find the coordinates.

        Raises
        ------
        IdentificationError
            If a regressor is constant (within strata) or regressors are collinear.
        """
        stratum = moments.stratum_code
        size = np.bincount(stratum, moments.n)
        center = _means(moments.mean, moments.n, stratum) / size[:, None]
        scale = _within_stratum_sd(moments, center[stratum])
        gram = moments.gram(center[stratum], scale)
        gram[:, 0, :] /= np.sqrt(size)[stratum, None]
        gram[:, :, 0] /= np.sqrt(size)[stratum, None]
        root = _root_of_inverse(gram[:, 1:-1, 1:-1].sum(axis=0), moments)
        gram[:, 1:-1, :] = np.einsum("ab,jac->jbc", root, gram[:, 1:-1, :])
        gram[:, :, 1:-1] = np.einsum("jca,ab->jcb", gram[:, :, 1:-1], root)
        return cls(size, center, scale, gram, root)


def _means(values: Floats, n: Floats, stratum: Integers) -> Floats:
    """Return sums of n x values by stratum; shape (S, k)."""
    totals = np.zeros((int(stratum.max()) + 1, values.shape[1]))
    np.add.at(totals, stratum, n[:, None] * values)
    return totals


def _within_stratum_sd(moments: ClusterMoments, center: Floats) -> Floats:
    """Return the SD of each variable about its stratum mean; 1 for a constant outcome.

    Raises
    ------
    IdentificationError
        If a regressor does not vary.
    """
    deviation = moments.mean - center
    square = np.einsum("jaa->a", moments.cross) + moments.n @ deviation**2
    scale = np.sqrt(square / moments.n.sum())
    negligible = 1e-12 * np.maximum(moments.sd, 0)
    where = "" if moments.strata is None else " within every stratum"
    for name, sd, least in zip(moments.names, scale, negligible, strict=False):
        if not sd > least:
            raise IdentificationError(
                f"regressor {name!r} is constant{where} in all {moments.n_units:,} rows: its "
                "coefficient is not identified; leave it out"
            )
    scale[-1] = scale[-1] if scale[-1] > 0 else 1.0
    return scale


def _root_of_inverse(cross: Floats, moments: ClusterMoments) -> Floats:
    """Return L with L L' = cross^-1, by the eigenvalues of the correlation matrix.

    Raises
    ------
    IdentificationError
        If regressors are collinear; the message names them.
    """
    value, vector = np.linalg.eigh(cross / moments.n.sum())
    if value.size and value[0] < RANK_TOLERANCE:
        involved = [x for x, v in zip(moments.names, vector[:, 0], strict=True) if abs(v) > 1e-3]
        raise IdentificationError(
            f"regressors {', '.join(map(repr, involved))} are collinear: their coefficients are "
            "not identified; leave one of them out"
        )
    return vector / np.sqrt(value * moments.n.sum())
