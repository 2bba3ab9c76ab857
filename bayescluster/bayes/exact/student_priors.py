"""Student's t priors as scale mixtures of normals, with Gauss rules adapted to the data.

theta ~ Student(nu, mu, s) is theta | g ~ Normal(mu, s / sqrt(g)), g ~ Gamma(nu / 2, rate nu / 2)
(Andrews & Mallows 1974, JRSS B 36: 99-102). Given all other parameters, g enters the posterior
through the weight x = g / (g + a) of the prior relative to the data, and the mean and variance of
theta are linear in x. So g is integrated by the Gauss rule in x for its own posterior at the mode
of the other parameters. A few nodes are exact for its moments there and converge geometrically
nearby, whether data or prior dominate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ..._support.arrays import Floats
from ...errors import FitError
from ...spec.priors import Prior
from ..gaussian.conditional_posterior import eliminate, solve

#: Sizes of a rule, tried in turn until the next one gives the same result.
RULES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
#: Rules from this size on are trapezoid rules: if the data carry little weight (a below 0.1), the
#: marginal posterior is nearly the prior, whose shape needs nodes over the whole range of g.
TRAPEZOID = 24
#: Largest changes by a finer rule: of the log-evidence, and of means and SDs in posterior SDs.
EVIDENCE_TOLERANCE, MOMENT_TOLERANCE = 1e-8, 1e-7
#: The density of g is ignored this many nats below its maximum.
DEPTH = 32
#: Largest change of marginal probabilities, and their points in posterior SDs from the mean.
CDF_TOLERANCE = 1e-6
CDF_POINTS = (-3.0, -2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0, 3.0)
#: Largest product of all rules' sizes and q^2; beyond it, the integral would take minutes.
MAX_WORK = 150_000
#: Components that are expanded at once.
CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class Mixing:
    """Nodes for the mixing precisions g of the q locations with Student's t priors.

    Parameters
    ----------
    nu, mu, sigma : ndarray, shape (q,)
        The priors; mu is measured from the reference of the conditional's locations.
    precision : ndarray, shape (q, T)
        Nodes g.
    log_weight : ndarray, shape (T,)
        Log of the nodes' prior weights.
    """

    nu: Floats
    mu: Floats
    sigma: Floats
    precision: Floats
    log_weight: Floats

    @classmethod
    def of(cls, priors: Sequence[Prior], reference: Floats) -> Mixing:
        """Start from the priors, with a single node for each."""
        given = [prior.parameters for prior in priors]
        nu, mu, sigma = (np.array([p[key] for p in given]) for key in ("nu", "mu", "sigma"))
        start = np.ones((len(given), 1))
        return cls(nu, mu - reference[len(reference) - len(given) :], sigma, start, np.zeros(1))

    def adapted(self, augmented: Floats) -> Mixing:
        """Return rules that have converged at the given points.

        Parameters
        ----------
        augmented : ndarray, shape (d + 1, d + 1, K)
            A, without the Student's t priors, at the mode of the standard deviations (first) and
            around it.

        Raises
        ------
        FitError
            If the priors together need too many nodes, or a rule does not converge.
        """
        if not len(self.nu):
            return self
        factors = self._cavities(augmented[..., :1])
        others = [3 if len(self.nu) < 5 else 1] * len(self.nu)
        sizes = [self._size(factors, others, at, augmented) for at in range(len(others))]
        if np.prod(sizes, dtype=float) * len(sizes) ** 2 > MAX_WORK:
            raise FitError(
                f"{len(self.nu)} student_t priors together take too many nodes to integrate "
                f"({' x '.join(map(str, sizes))}); use fit, or normal priors for some of them"
            )
        return self._tensor(factors, sizes)

    def log_density(self, log_scale: Floats, augmented: Floats) -> Floats:
        """Integrate all locations and g out; shape (K,).

        Parameters
        ----------
        log_scale : ndarray, shape (K,)
        augmented : ndarray, shape (d + 1, d + 1, K)
            As returned by `Conditional.evaluate`.
        """
        log_factor, rest = eliminate(augmented, len(augmented) - 1 - len(self.nu))
        if not len(self.nu):
            return log_scale + log_factor - rest[0, 0] / 2
        inner = np.empty(len(log_scale))
        for part in self.parts(len(inner)):
            inner[part] = _log_sum_exp(self.log_components(rest[..., part]))
        return log_scale + log_factor + inner

    def log_components(self, augmented: Floats) -> Floats:
        """Return the log-weight of each node g at each point, locations integrated out; (T, K)."""
        full = self.expand(augmented)
        log_factor, rest = eliminate(full, len(full) - 1)
        normal = np.log(self.precision / self.sigma[:, None] ** 2).sum(axis=0) / 2
        return log_factor - rest[0, 0] / 2 + (normal + self.log_weight)[:, None]

    def shares(self, augmented: Floats) -> Floats:
        """Return the posterior probability of each node g at each point; (T, K)."""
        log_weight = self.log_components(augmented)
        return np.exp(log_weight - _log_sum_exp(log_weight))

    def moments(self, augmented: Floats) -> tuple[Floats, Floats]:
        """Return means and variances of b at each point, g integrated out; (d, K) each."""
        if not len(self.nu):
            mean, cov = solve(augmented)
            return mean, np.einsum("aak->ak", cov)
        parts = [self._mixed(augmented[..., part]) for part in self.parts(augmented.shape[-1])]
        return np.hstack([mean for mean, _ in parts]), np.hstack([var for _, var in parts])

    def _mixed(self, augmented: Floats) -> tuple[Floats, Floats]:
        share = self.shares(augmented)
        mean, cov = solve(self.expand(augmented))
        center = np.einsum("tk,dtk->dk", share, mean)
        spread = np.einsum("aatk->atk", cov) + (mean - center[:, None]) ** 2
        return center, np.einsum("tk,dtk->dk", share, spread)

    def parts(self, points: int) -> Iterator[slice]:
        """Cut points into parts that can be expanded at once."""
        step = max(1, CHUNK // len(self.log_weight))
        return (slice(at, at + step) for at in range(0, points, step))

    def expand(self, augmented: Floats) -> Floats:
        """Add the priors of every node g to A: from (k, k, K) to (k, k, T, K)."""
        nodes = self.precision[..., None]
        full = np.repeat(augmented[:, :, None], nodes.shape[1], axis=2)
        return self.add(full, nodes)

    def add(self, augmented: Floats, precision: Floats) -> Floats:
        """Add the priors given g, shape (q, ...), to A, shape (k, k, ...), in place."""
        first = len(augmented) - 1 - len(self.nu)
        for at, (mu, sigma) in enumerate(zip(self.mu, self.sigma, strict=True)):
            row = np.zeros(len(augmented))
            row[first + at], row[-1] = 1, mu
            shape = (len(row), len(row), *[1] * (augmented.ndim - 2))
            augmented += np.outer(row, row).reshape(shape) * (precision[at] / sigma**2)
        return augmented

    def draw_node(self, rng: np.random.Generator, augmented: Floats) -> Floats:
        """Draw g among the nodes, given A at n points; (q, n)."""
        chosen = np.empty(augmented.shape[-1], dtype=np.int64)
        for part in self.parts(len(chosen)):
            cumulative = self.shares(augmented[..., part]).cumsum(axis=0)
            chosen[part] = (cumulative < rng.uniform(size=cumulative.shape[1])).sum(axis=0)
        return self.precision[:, np.minimum(chosen, len(self.log_weight) - 1)]

    def draw_precision(self, rng: np.random.Generator, b: Floats) -> Floats:
        """Draw g from its exact conditional, given b of shape (d, n); (q, n)."""
        nu, mu, sigma = (part[:, None] for part in (self.nu, self.mu, self.sigma))
        distance = (b[-len(nu) :] - mu) / sigma
        return rng.standard_gamma((nu + 1) / 2, distance.shape) * 2 / (nu + distance**2)

    def _size(
        self, factors: Sequence[tuple[float, float]], others: list[int], at: int, augmented: Floats
    ) -> int:
        """Return the smallest size of one rule that the next size confirms, the others fixed."""
        previous = None
        for step, size in enumerate(RULES):
            rule = self._tensor(factors, [*others[:at], size, *others[at + 1 :]])
            found = rule._results(augmented)
            if previous is not None and abs(found - previous).max() < 1:
                return RULES[step - 1]
            previous = found
        raise FitError("a student_t prior could not be integrated; use fit, or a normal prior")

    def _results(self, augmented: Floats) -> Floats:
        """Return log-evidence, means, SDs and probabilities at K points, in units of tolerance."""
        from scipy import special

        evidence = _log_sum_exp(self.log_components(augmented))
        mean, variance = self.moments(augmented)
        scale = np.sqrt(variance[:, :1])
        sd = np.sqrt(variance)
        location, cov = solve(self.expand(augmented))
        share = self.shares(augmented)
        below = []
        for at in range(-len(self.nu), 0):
            for z in CDF_POINTS:
                gap = mean[at] + z * sd[at] - location[at]
                below.append((share * special.ndtr(gap / np.sqrt(cov[at, at]))).sum(axis=0))
        moments = np.concatenate([mean / scale, sd / scale]).ravel() / MOMENT_TOLERANCE
        probabilities = np.ravel(below) / CDF_TOLERANCE
        return np.concatenate([evidence / EVIDENCE_TOLERANCE, moments, probabilities])

    def _cavities(self, augmented: Floats) -> list[tuple[float, float]]:
        """Return a and the squared distance c of data and prior, in prior scales, per prior.

        The other locations' information on theta, with their own g at its mean, is Normal; a is its
        precision times s^2.
        """
        g = np.ones(len(self.nu))
        at = np.arange(-len(g), 0)
        for _ in range(50):
            mean, cov = solve(self.add(augmented.copy(), g[:, None]))
            center, variance = mean[at, 0], cov[at, at, 0]
            distance = ((center - self.mu) ** 2 + variance) / self.sigma**2
            g = (self.nu + 1) / (self.nu + distance)
        mean, cov = solve(self.add(augmented.copy(), g[:, None]))
        center, variance = mean[at, 0], cov[at, at, 0]
        a = np.maximum(self.sigma**2 / variance - g, 1e-10)
        cavity = self.mu + (center - self.mu) * (a + g) / a
        return list(zip(a, ((cavity - self.mu) / self.sigma) ** 2, strict=True))

    def _tensor(self, factors: Sequence[tuple[float, float]], sizes: Sequence[int]) -> Mixing:
        rules = [
            _rule(nu, a, c, size) for nu, (a, c), size in zip(self.nu, factors, sizes, strict=True)
        ]
        nodes = np.array(list(product(*(rule[0] for rule in rules)))).T
        weights = np.array([sum(x) for x in product(*(rule[1] for rule in rules))])
        return replace(self, precision=nodes, log_weight=weights)


def _rule(nu: float, a: float, c: float, size: int) -> tuple[Floats, Floats]:
    """Return nodes g and their log-weights relative to the prior of g."""
    log_g = np.linspace(-70 / (nu + 1), np.log(1 + 90 / nu), 1_200)
    log_measure = _log_prior(nu, log_g) + _log_evidence(np.exp(log_g), a, c)
    measure = np.exp(log_measure + np.log(log_g[1] - log_g[0]))
    if size >= TRAPEZOID:
        median = log_g[np.searchsorted(measure.cumsum(), measure.sum() / 2)]
        return _trapezoid(nu, a, c, size, median - 2)
    g = np.exp(log_g)
    x, weight = _gauss(g / (g + a) if a > 1 else -a / (g + a), measure, size)
    nodes = a * x / (1 - x) if a > 1 else -a * (1 + x) / x
    return nodes, np.log(weight) - _log_evidence(nodes, a, c)


def _trapezoid(nu: float, a: float, c: float, size: int, center: float) -> tuple[Floats, Floats]:
    """Return the trapezoid rule in u, with log g = center + u - exp(-u) as in `sd_grid`."""

    def density(u: Floats) -> tuple[Floats, Floats, Floats]:
        log_g = center + u - np.exp(-u)
        log_weight = _log_prior(nu, log_g) + np.log1p(np.exp(-u))
        return log_g, log_weight, log_weight + _log_evidence(np.exp(log_g), a, c)

    u = np.linspace(-5, 100, 10_000)
    found = density(u)[2]
    held = u[found > found.max() - DEPTH]
    nodes = np.linspace(held[0], held[-1], size)
    log_g, log_weight, _ = density(nodes)
    return np.exp(log_g), log_weight + np.log(nodes[1] - nodes[0])


def _log_prior(nu: float, log_g: Floats) -> Floats:
    """Return the log-density of log g under its prior."""
    from scipy import special

    half = nu / 2
    return half * np.log(half) - special.gammaln(half) + half * (log_g - np.exp(log_g))


def _log_evidence(g: Floats, a: float, c: float) -> Floats:
    """Return the log-evidence for g, up to a constant: the data lie c away, with variance 1 / a."""
    precision = g / (g + a)
    return (np.log(precision) - c * a * precision) / 2


def _gauss(x: Floats, measure: Floats, size: int) -> tuple[Floats, Floats]:
    """Return the Gauss rule of a discrete measure, by the Lanczos process.

    See Gautschi (2004), Orthogonal Polynomials, section 2.2.3.
    """
    total = measure.sum()
    center = measure @ x / total
    spread = np.sqrt(measure @ (x - center) ** 2 / total)
    z = (x - center) / spread
    basis = [np.sqrt(measure / total)]
    jacobi = np.zeros((size, size))
    for k in range(size):
        new = z * basis[-1]
        jacobi[k, k] = basis[-1] @ new
        for _ in range(2):  # twice is enough for full orthogonality
            for vector in basis:
                new = new - (vector @ new) * vector
        if k + 1 < size:
            jacobi[k, k + 1] = jacobi[k + 1, k] = norm = np.sqrt(new @ new)
            basis.append(new / norm)
    value, vectors = np.linalg.eigh(jacobi)
    return center + spread * value, total * vectors[0] ** 2


def _log_sum_exp(values: Floats) -> Floats:
    top = values.max(axis=0)
    return top + np.log(np.exp(values - top).sum(axis=0))
