"""Marginal posteriors without sampling: mixtures of normals, and densities on a uniform grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..._support.arrays import Floats

#: Largest number of Newton steps (or bisections), and the error in probability at which they stop.
MAX_STEPS, PRECISION = 200, 1e-12


class Marginal(Protocol):
    """The marginal posterior of one parameter."""

    @property
    def mean(self) -> float:
        """Mean of the marginal."""

    @property
    def sd(self) -> float:
        """Standard deviation of the marginal."""

    def cdf(self, value: ArrayLike) -> Floats:
        """Return the posterior probability of a value below `value`, with the shape of `value`."""

    def pdf(self, value: ArrayLike) -> Floats:
        """Return the density at `value`, with the shape of `value`."""

    def quantile(self, prob: ArrayLike) -> Floats:
        """Return the quantiles at `prob`, with the shape of `prob`."""


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """A mixture of K normal distributions.

    Parameters
    ----------
    weight, location, scale : ndarray, shape (K,)
        Probabilities, which sum to 1, means and standard deviations.
    """

    weight: Floats
    location: Floats
    scale: Floats

    @property
    def mean(self) -> float:
        """Mean of the mixture."""
        return float(self.weight @ self.location)

    @property
    def sd(self) -> float:
        """Standard deviation of the mixture."""
        spread = self.scale**2 + (self.location - self.mean) ** 2
        return float(np.sqrt(self.weight @ spread))

    def cdf(self, value: ArrayLike) -> Floats:
        """Return the probability of a value below `value`, with the shape of `value`."""
        from scipy import special

        return special.ndtr(self._standardised(value)) @ self.weight

    def pdf(self, value: ArrayLike) -> Floats:
        """Return the density at `value`, with the shape of `value`."""
        z = self._standardised(value)
        return np.exp(-z * z / 2) @ (self.weight / self.scale) / np.sqrt(2 * np.pi)

    def quantile(self, prob: ArrayLike) -> Floats:
        """Return the quantiles at `prob`, with the shape of `prob`."""
        from scipy import special

        prob = np.asarray(prob, dtype=float)
        # The quantile of a mixture lies among those of its components.
        z = np.clip(special.ndtri(prob), -40, 40)[..., None]
        own = self.location + self.scale * z
        start = self.mean + self.sd * z[..., 0]
        return _invert(self.cdf, self.pdf, prob, own.min(axis=-1), own.max(axis=-1), start)

    def _standardised(self, value: ArrayLike) -> Floats:
        return (np.asarray(value, dtype=float)[..., None] - self.location) / self.scale


@dataclass(frozen=True, eq=False)
class GridMarginal:
    """A smooth density of x on a uniform grid, for the parameter `forward(x)`.

    Between the nodes the density is the sinc interpolant; its error is that of the trapezoid rule
    with twice the step (Stenger 1993, Numerical Methods Based on Sinc and Analytic Functions).

    Parameters
    ----------
    node : ndarray, shape (K,)
        Equally spaced values of x.
    weight : ndarray, shape (K,)
        Their probabilities, which sum to 1.
    forward, backward, slope : callable
        Increasing map from x to the parameter, its inverse, and its derivative at x.
    """

    node: Floats
    weight: Floats
    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]

    @property
    def mean(self) -> float:
        """Mean of the parameter."""
        return float(self.weight @ self.forward(self.node))

    @property
    def sd(self) -> float:
        """Standard deviation of the parameter."""
        value = self.forward(self.node)
        return float(np.sqrt(self.weight @ (value - self.weight @ value) ** 2))

    def cdf(self, value: ArrayLike) -> Floats:
        """Return the probability of a value below `value` (positive), with the shape of `value`."""
        return self._cdf(self.backward(np.asarray(value, dtype=float)))

    def pdf(self, value: ArrayLike) -> Floats:
        """Return the density at `value` (positive), with the shape of `value`."""
        x = self.backward(np.asarray(value, dtype=float))
        return self._pdf(x) / self.slope(x)

    def quantile(self, prob: ArrayLike) -> Floats:
        """Return the quantiles at `prob`, with the shape of `prob`."""
        prob = np.asarray(prob, dtype=float)
        low, high = (np.full(prob.shape, self.node[end]) for end in (0, -1))
        start = np.interp(prob, np.cumsum(self.weight), self.node)
        return self.forward(_invert(self._cdf, self._pdf, prob, low, high, start))

    def _cdf(self, x: Floats) -> Floats:
        from scipy import special

        share = special.sici(np.pi * self._steps(x))[0] / np.pi
        return np.clip((0.5 + share) @ self.weight, 0.0, 1.0)

    def _pdf(self, x: Floats) -> Floats:
        return np.maximum(np.sinc(self._steps(x)) @ self.weight, 0.0) / self._step

    def _steps(self, x: Floats) -> Floats:
        return (x[..., None] - self.node) / self._step

    @property
    def _step(self) -> float:
        return float(self.node[1] - self.node[0])


def _invert(
    cdf: Callable[[Floats], Floats],
    pdf: Callable[[Floats], Floats],
    prob: Floats,
    low: Floats,
    high: Floats,
    start: Floats,
) -> Floats:
    """Solve cdf(x) = prob between low and high by Newton's method, or bisection if it leaves."""
    x = np.clip(start, low, high)
    for _ in range(MAX_STEPS):
        gap = cdf(x) - prob
        if not (abs(gap) > PRECISION).any():
            break
        low, high = np.where(gap < 0, x, low), np.where(gap > 0, x, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x - gap / pdf(x)
        inside = (new > low) & (new < high)
        new = np.where(inside, new, (low + high) / 2)
        if np.array_equal(new, x):
            break
        x = new
    return x
