"""The gaussian likelihood with effects that vary between clusters, exact from moments.

For unit i of cluster j, y_ij = level_j + x_ij'b + z_ij'u_j + e_ij, where z holds 1 and regressors
whose effects vary, u_j ~ Normal(0, D) with D diagonal, and e_ij ~ Normal(0, sigma). With
r = y - level - x'b, K = Z'Z, A = I + D^1/2 K D^1/2 / sigma^2 and v = D^1/2 Z'r / sigma^2, the
density of a cluster's units with u_j integrated out has (Searle, Casella & McCulloch 1992, Variance
Components, section 6.4)

  -2 log L_j = n log(2 pi sigma^2) + log|A| + r'r / sigma^2 - v'A^-1 v,

and u_j given all else is Normal(D^1/2 A^-1 v, D^1/2 A^-1 D^1/2). All terms follow from each
cluster's means and centred cross-products. A is factored element by element, so the same code
serves NumPy arrays and PyTensor variables (`xp`), without matrix products in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._support.arrays import Floats
from ...data.experiment import Experiment
from ..model_inputs import gaussian_statistics
from ..parameter_draws import ParameterDraws
from ..pymc_model_parts import Holder, Parameters
from .gaussian_likelihood import GaussianStatistics


@dataclass(frozen=True, eq=False)
class SlopesLikelihood:
    """Gaussian statistics, with the names of the effects that vary between clusters.

    Parameters
    ----------
    data : GaussianStatistics
        The data.
    slopes : tuple of str
        Names of the varying effects.
    """

    data: GaussianStatistics
    slopes: tuple[str, ...]

    @classmethod
    def of(cls, exp: Experiment) -> SlopesLikelihood:
        """Read an experiment and its specification."""
        return cls(gaussian_statistics(exp), exp.spec.heterogeneity.slopes)

    @property
    def at(self) -> list[int]:
        """Positions of the varying effects among the regressors."""
        return [self.data.names.index(name) for name in self.slopes]

    def log_likelihood(self, draws: ParameterDraws) -> Floats:
        """Return the log-density of each cluster's units; shape (..., J)."""
        return cluster_log_likelihood(np, *self._arguments(draws))

    def draw_varying(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw each cluster's intercept and effects given the parameters; (..., J, 1 + q)."""
        arguments = self._arguments(draws)
        root, v, *_ = _factor(np, *arguments)
        scales = np.stack(np.broadcast_arrays(*arguments[4]), axis=-1)
        size = len(root)
        half = _forward(root, v)
        half = [h + rng.standard_normal(h.shape) for h in half]
        deviation = np.stack(_backward(root, half, size), axis=-1) * scales
        means = [draws.effects[..., None, i] for i in self.at]
        level = np.broadcast_to(draws.level, deviation.shape[:-1])
        return deviation + np.stack([level, *(m + 0 * level for m in means)], axis=-1)

    def draw_cluster_means(self, rng: np.random.Generator, draws: ParameterDraws) -> Floats:
        """Draw the cluster means of new experiments with the same design; shape (..., J)."""
        assert draws.within_sd is not None
        x = self.data.regressor_mean
        scales = self._scales(draws)
        mean = draws.level + draws.effects @ x.T
        variance = scales[0] ** 2 + draws.within_sd[..., None] ** 2 / self.data.n
        for i, sd in zip(self.at, scales[1:], strict=True):
            variance = variance + (sd * x[:, i]) ** 2
        return rng.normal(mean, np.sqrt(variance))

    def _scales(self, draws: ParameterDraws) -> list[Floats]:
        assert draws.slope_sd is not None
        between_sd = draws.between_sd_of(len(self.data.n))
        return [between_sd, *(draws.slope_sd[..., None, i] for i in range(len(self.slopes)))]

    def _arguments(self, draws: ParameterDraws) -> tuple[Any, ...]:
        assert draws.within_sd is not None
        effects = [draws.effects[..., None, i] for i in range(len(self.data.names))]
        arrays = _arrays(self.data)
        return (
            arrays,
            self.at,
            draws.level,
            effects,
            self._scales(draws),
            draws.within_sd[..., None],
        )


def add_slopes_likelihood(exp: Experiment, parameters: Parameters, hold: Holder) -> None:
    """Add the log-density of all units, intercepts and varying effects integrated out."""
    import pymc as pm
    import pytensor.tensor as pt

    likelihood = SlopesLikelihood.of(exp)
    arrays = {name: hold(name, value) for name, value in _arrays(likelihood.data).items()}
    scales = [parameters.between_sd, *(parameters.slope_sd[name] for name in likelihood.slopes)]
    values = cluster_log_likelihood(
        pt,
        arrays,
        likelihood.at,
        parameters.level,
        parameters.effects,
        scales,
        parameters.within_sd,
    )
    pm.Potential("units", values.sum())


def cluster_log_likelihood(
    xp: Any,
    arrays: dict[str, Any],
    at: list[int],
    level: Any,
    effects: list[Any],
    scales: list[Any],
    within_sd: Any,
) -> Any:
    """Return log L_j of each cluster; shape (..., J).

    Parameters
    ----------
    xp : module
        ``numpy`` or ``pytensor.tensor``.
    arrays : dict
        n (J,), outcome_mean (J,), regressor_mean (J, p), cross (J, p + 1, p + 1).
    at : list of int
        Positions of the varying effects among the regressors.
    level, within_sd : array
        Broadcast to (..., J).
    effects, scales : list of array
        Coefficients of the p regressors, and standard deviations of the intercept and the varying
        effects; each broadcasts to (..., J).
    """
    root, v, rest = _factor(xp, arrays, at, level, effects, scales, within_sd)
    explained = sum(h**2 for h in _forward(root, v))
    log_det = sum(2 * xp.log(root[i][i]) for i in range(len(root)))
    n = arrays["n"]
    return -0.5 * (n * xp.log(2 * np.pi * within_sd**2) + log_det + rest - explained)


def _arrays(data: GaussianStatistics) -> dict[str, Floats]:
    return {
        "n": data.n,
        "outcome_mean": data.outcome_mean,
        "regressor_mean": data.regressor_mean,
        "cross": data.cross,
    }


def _factor(
    xp: Any,
    arrays: dict[str, Any],
    at: list[int],
    level: Any,
    effects: list[Any],
    scales: list[Any],
    within_sd: Any,
) -> tuple[list[list[Any]], list[Any], Any]:
    """Return the Cholesky root of A, v and r'r / sigma^2, element by element."""
    n, mean, cross = arrays["n"], arrays["regressor_mean"], arrays["cross"]
    variance = within_sd**2
    p = len(effects)
    fitted = sum(mean[:, i] * effect for i, effect in enumerate(effects))
    residual = arrays["outcome_mean"] - level - fitted

    def along(i: int) -> Any:
        """Centred cross-product of variable i with the residual."""
        return cross[:, i, p] - sum(cross[:, i, k] * effect for k, effect in enumerate(effects))

    within = along(p) - sum(along(i) * effect for i, effect in enumerate(effects))
    rest = (within + n * residual**2) / variance
    scores = [n * residual, *(along(i) + mean[:, i] * n * residual for i in at)]
    moments = [[n, *(n * mean[:, i] for i in at)]]
    moments += [
        [n * mean[:, i], *(cross[:, i, k] + n * mean[:, i] * mean[:, k] for k in at)] for i in at
    ]
    size = len(scales)
    v = [scales[i] * scores[i] / variance for i in range(size)]
    a = [
        [scales[i] * scales[k] * moments[i][k] / variance + float(i == k) for k in range(i + 1)]
        for i in range(size)
    ]
    return _cholesky(xp, a), v, rest


def _cholesky(xp: Any, a: list[list[Any]]) -> list[list[Any]]:
    """Return the lower root of a positive definite matrix given by its lower triangle."""
    root: list[list[Any]] = []
    for i, row in enumerate(a):
        root.append([])
        for k, value in enumerate(row):
            left = value - sum(root[i][m] * root[k][m] for m in range(k))
            root[i].append(xp.sqrt(left) if i == k else left / root[k][k])
    return root


def _forward(root: list[list[Any]], v: list[Any]) -> list[Any]:
    """Solve root h = v."""
    solved: list[Any] = []
    for i, row in enumerate(root):
        solved.append((v[i] - sum(row[m] * solved[m] for m in range(i))) / row[i])
    return solved


def _backward(root: list[list[Any]], h: list[Any], size: int) -> list[Any]:
    """Solve root' u = h."""
    solved: list[Any] = [None] * size
    for i in reversed(range(size)):
        known = sum(root[m][i] * solved[m] for m in range(i + 1, size))
        solved[i] = (h[i] - known) / root[i][i]
    return solved
