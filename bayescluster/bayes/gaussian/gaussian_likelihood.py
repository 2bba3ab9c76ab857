"""The Gaussian hierarchical likelihood, exact from moments.

The model of unit i in cluster j is y_ij = a_j + x_ij'b + e_ij, with a_j ~ Normal(mu, tau) and
e_ij ~ Normal(0, sigma). With strata, mu is mu_j, the level of the cluster's stratum. With the a_j
integrated out, the likelihood of all units is, up to a constant, the product of three parts, whose
data :class:`GaussianStatistics` holds:

- between: ybar_j ~ Normal(mu + xbar_j'b, sqrt(tau^2 + sigma^2 / n_j)), for each cluster;
- within: z ~ Normal(R b, sigma), where W_xx = R'R and R'z = W_xy, for the pooled within-cluster
  cross-products W;
- residual: rss = W_yy - z'z ~ Gamma(nu / 2, rate 1 / (2 sigma^2)), with nu = N - J - rank(R).

See Searle, Casella & McCulloch (1992), Variance Components, chapter 3, for the decomposition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._support.arrays import Floats
from ...data.cluster_moments import ClusterMoments
from ...errors import FitError

#: A regressor varies within clusters if at least this share of its variation lies within them.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class GaussianStatistics:
    """The data that the Gaussian hierarchical likelihood needs.

    With J clusters, p regressors and r = rank of their within-cluster cross-products:

    Parameters
    ----------
    clusters : ndarray, shape (J,)
        Cluster labels.
    names : tuple of str
        Names of the p regressors.
    n : ndarray, shape (J,)
        Units per cluster.
    outcome_mean : ndarray, shape (J,)
        Cluster means of the outcome, in its unit.
    regressor_mean : ndarray, shape (J, p)
        Cluster means of the regressors; covariates are centred at their grand mean.
    cross : ndarray, shape (J, p + 1, p + 1)
        Within-cluster cross-products of regressors and outcome.
    within_root : ndarray, shape (r, p)
        R, with the null space of W_xx dropped.
    within_score : ndarray, shape (r,)
        z.
    within_ss : float
        rss.
    within_df : int
        nu.
    """

    clusters: NDArray[Any]
    names: tuple[str, ...]
    n: Floats
    outcome_mean: Floats
    regressor_mean: Floats
    cross: Floats
    within_root: Floats
    within_score: Floats
    within_ss: float
    within_df: int

    @classmethod
    def of(cls, moments: ClusterMoments, center: Mapping[str, float]) -> GaussianStatistics:
        """Compute the statistics.

        Parameters
        ----------
        moments : ClusterMoments
            The data.
        center : mapping of str to float
            Points at which regressors are centred; 0 for regressors not named.

        Raises
        ------
        FitError
            If the outcome has no residual variation within clusters.
        """
        mean = moments.means
        within, sd = moments.within_cross, moments.sd
        root, score = _factor(within / np.multiply.outer(sd, sd), moments.n_units)
        score *= sd[-1]
        rss = float(within[-1, -1] - score @ score)
        df = moments.n_units - moments.n_clusters - len(score)
        if moments.n_units == moments.n_clusters:
            raise FitError(
                f"each of the {moments.n_clusters:,} clusters has a single unit: variation between "
                "clusters cannot be separated from variation within; use the cluster-level methods"
            )
        if df < 1 or rss <= RANK_TOLERANCE * moments.total_cross[-1, -1]:
            raise FitError(
                f"outcome {moments.outcome!r} has no variation left within clusters "
                f"({moments.n_units:,} units, {moments.n_clusters:,} clusters): the within-cluster "
                "standard deviation is not identified; use the cluster-level methods"
            )
        shift = np.array([center.get(name, 0.0) for name in moments.names])
        return cls(
            clusters=moments.clusters,
            names=moments.names,
            n=moments.n,
            outcome_mean=mean[:, -1],
            regressor_mean=mean[:, :-1] - shift,
            cross=moments.cross,
            within_root=root * sd[:-1],
            within_score=score,
            within_ss=rss,
            within_df=df,
        )

    @property
    def log_jacobian(self) -> float:
        """Log-density of the units minus that of the three parts: constant in the parameters."""
        from scipy import special

        half = self.within_df / 2
        return float(
            special.gammaln(half)
            - half * np.log(np.pi)
            - (half - 1) * np.log(self.within_ss)
            - np.log(self.n).sum() / 2
        )

    def log_likelihood(
        self, level: Floats, effects: Floats, between_sd: Floats, within_sd: Floats
    ) -> Floats:
        """Return the log-density of each cluster's units, its intercept integrated out.

        Parameters
        ----------
        level : ndarray, shape (..., J) or (..., 1)
            mu, the mean of the cluster intercepts.
        between_sd, within_sd : ndarray, shape (...)
            tau and sigma; tau may have an additional axis of clusters.
        effects : ndarray, shape (..., p)
            b.

        Returns
        -------
        ndarray, shape (..., J)
            Their sum over clusters is the log-density of all units.
        """
        variance = within_sd[..., None] ** 2
        between_sd = _with_clusters(between_sd, within_sd)
        between = variance + self.n * between_sd**2  # variance of sqrt(n) x cluster mean
        residual = self.outcome_mean - level - effects @ self.regressor_mean.T
        contrast = np.concatenate([-effects, np.ones_like(variance)], axis=-1)
        within = np.einsum("...a,jab,...b->...j", contrast, self.cross, contrast, optimize=True)
        return -0.5 * (
            self.n * np.log(2 * np.pi)
            + (self.n - 1) * np.log(variance)
            + np.log(between)
            + within / variance
            + self.n * residual**2 / between
        )

    def draw_intercepts(
        self,
        rng: np.random.Generator,
        level: Floats,
        effects: Floats,
        between_sd: Floats,
        within_sd: Floats,
    ) -> Floats:
        """Draw the cluster intercepts a_j from their Gaussian distribution given the parameters.

        The parameters are those of `log_likelihood`; the result has shape (..., J).
        """
        mean, sd = self.intercept_conditional(level, effects, between_sd, within_sd)
        return rng.normal(mean, sd)

    def intercept_conditional(
        self, level: Floats, effects: Floats, between_sd: Floats, within_sd: Floats
    ) -> tuple[Floats, Floats]:
        """Return mean and SD of each a_j given the parameters, each of shape (..., J).

        With the shrinkage weight w_j = tau^2 / (tau^2 + sigma^2 / n_j): mean
        mu + w_j (ybar_j - xbar_j'b - mu), variance w_j sigma^2 / n_j (Searle, Casella & McCulloch
        1992, section 3.4).
        """
        sampling = within_sd[..., None] ** 2 / self.n
        between_sd = _with_clusters(between_sd, within_sd)
        weight = between_sd**2 / (between_sd**2 + sampling)
        residual = self.outcome_mean - level - effects @ self.regressor_mean.T
        return level + weight * residual, np.sqrt(weight * sampling)

    def draw_cluster_means(
        self,
        rng: np.random.Generator,
        level: Floats,
        effects: Floats,
        between_sd: Floats,
        within_sd: Floats,
    ) -> Floats:
        """Draw the cluster means of new experiments with the same design; shape (..., J)."""
        mean = level + effects @ self.regressor_mean.T
        between_sd = _with_clusters(between_sd, within_sd)
        return rng.normal(mean, np.sqrt(between_sd**2 + within_sd[..., None] ** 2 / self.n))


def _with_clusters(between_sd: Floats, within_sd: Floats) -> Floats:
    """Return tau with an axis of clusters, adding the axis if it has none."""
    return between_sd if between_sd.ndim > within_sd.ndim else between_sd[..., None]


def _factor(within: Floats, n_units: int) -> tuple[Floats, Floats]:
    """Return R and z of cross-products W of [x, y], without the null space of W_xx."""
    value, vector = np.linalg.eigh(within[:-1, :-1])
    keep = value > RANK_TOLERANCE * n_units
    root = np.sqrt(value[keep])
    return root[:, None] * vector[:, keep].T, vector[:, keep].T @ within[:-1, -1] / root
