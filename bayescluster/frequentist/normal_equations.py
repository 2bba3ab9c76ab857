"""Least squares from cluster moments, in coordinates where cluster-robust algebra is small.

Stratum intercepts (or the single intercept, without strata) are absorbed exactly. With x~ the
regressors minus their stratum means and E = sum of x~'x~ = (L L')^-1, the columns 1 / sqrt(N_s) of
the strata and x~ L are orthonormal. A unit has one nonzero stratum column and all slope columns, so
a cluster's block of the hat matrix is the Gram matrix of q = 1 + k numbers per unit, for any number
of strata. Two clusters interact through their k slope coordinates and, within a stratum, one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._support.arrays import Floats, Integers
from ..data.cluster_moments import ClusterMoments
from ..data.orthonormal_basis import OrthonormalBasis


@dataclass(frozen=True, eq=False)
class Regression:
    """A least-squares fit with all per-cluster quantities that its covariance matrices need.

    With J clusters, k regressors, q = 1 + k and m terms (the intercept, if there are no strata,
    then the regressors):

    Parameters
    ----------
    terms : tuple of str
        Names of the m coefficients.
    estimate : ndarray, shape (m,)
        Coefficients in the user's units.
    gram : ndarray, shape (J, q + 1, q + 1)
        Gram matrix per cluster of [1 / sqrt(N_s), x~ L, y~] in orthonormal coordinates: stratum,
        slopes, outcome minus its stratum mean and in units of its standard deviation.
    coefficients : ndarray, shape (k,)
        Slopes in orthonormal coordinates.
    to_user : ndarray, shape (m, q)
        Maps deviations in orthonormal coordinates to the user's units.
    stratum : ndarray, shape (J,)
        Code of each cluster's stratum; all zero without strata.
    outcome_sd : float
        Unit of the outcome in `gram`.
    moments : ClusterMoments
        The data.
    """

    terms: tuple[str, ...]
    estimate: Floats
    gram: Floats
    coefficients: Floats
    to_user: Floats
    stratum: Integers
    outcome_sd: float
    moments: ClusterMoments

    @classmethod
    def of(cls, moments: ClusterMoments) -> Regression:
        """Fit by least squares.

        Raises
        ------
        IdentificationError
            If a regressor is constant (within strata) or regressors are collinear.
        """
        basis = OrthonormalBasis.of(moments)
        size, center, scale = basis.size, basis.center, basis.scale
        gram, root = basis.gram, basis.root
        coefficients = gram[:, 1:-1, -1].sum(axis=0)
        slopes = root * scale[-1] / scale[:-1, None]  # (k, k): to the user's units
        to_user = np.column_stack([np.zeros(len(root)), slopes])
        estimate = slopes @ coefficients
        terms = moments.names
        if moments.strata is None:
            location = center[0] + moments.origin
            to_user = np.vstack(
                [np.r_[scale[-1] / np.sqrt(size[0]), -location[:-1] @ slopes], to_user]
            )
            estimate = np.r_[location[-1] - location[:-1] @ estimate, estimate]
            terms = ("intercept", *terms)
        sd = float(scale[-1])
        return cls(terms, estimate, gram, coefficients, to_user, moments.stratum_code, sd, moments)

    @property
    def n_coefficients(self) -> int:
        """Number of fitted coefficients, including absorbed stratum intercepts."""
        return len(self.coefficients) + self.n_strata

    @cached_property
    def stratum_root(self) -> Floats:
        """Square root of the number of units in each cluster's stratum; shape (J,)."""
        return np.sqrt(np.bincount(self.stratum, self.moments.n))[self.stratum]

    @property
    def n_strata(self) -> int:
        """Number of absorbed intercepts; 1 without strata."""
        return int(self.stratum.max()) + 1

    def by_stratum(self, values: Floats) -> Any:
        """Return M, (J, c x S), for which weights @ M sums weights x values by stratum.

        Parameters
        ----------
        values : ndarray, shape (J, c)
            Values of each cluster.

        Returns
        -------
        ndarray or sparse array
            Column i x S + s holds column i for the clusters in stratum s, and zeros elsewhere.
            Sparse if there are several strata, because there may be thousands of matched pairs.
        """
        if self.n_strata == 1:
            return values
        from scipy import sparse

        groups, c = values.shape
        columns = self.stratum[:, None] + self.n_strata * np.arange(c)
        starts = np.arange(0, groups * c + 1, c)
        shape = (groups, c * self.n_strata)
        return sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=shape)

    @cached_property
    def leverage(self) -> Floats:
        """Gram matrix of each cluster's orthonormal coordinates; shape (J, q, q).

        Its nonzero eigenvalues are those of the cluster's block of the hat matrix.
        """
        return self.gram[:, :-1, :-1]

    @cached_property
    def score(self) -> Floats:
        """Sum of coordinates times residuals in each cluster; shape (J, q)."""
        return self.gram[:, :-1, -1] - self.gram[:, :-1, 1:-1] @ self.coefficients

    @cached_property
    def residual_sum_of_squares(self) -> float:
        """Sum of squared residuals, in squared SDs of the outcome."""
        contrast = np.r_[0.0, -self.coefficients, 1.0]
        return float(max(contrast @ self.gram.sum(axis=0) @ contrast, 0.0))

    def contrast(self, weights: Mapping[str, float]) -> Floats:
        """Return a linear combination of terms as a vector over terms; shape (m,).

        Raises
        ------
        ValueError
            If a term is unknown, a weight is not finite, or all weights are zero.
        """
        if unknown := set(weights) - set(self.terms):
            raise ValueError(f"no term {sorted(unknown)}; there are {', '.join(self.terms)}")
        row = np.array([weights.get(term, 0.0) for term in self.terms])
        if not np.isfinite(row).all() or not row.any():
            raise ValueError(
                "a linear combination needs finite weights, at least one of them not zero; given "
                f"{dict(weights)}"
            )
        return row
