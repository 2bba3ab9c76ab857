"""The integrals of :mod:`bayescluster.bayes.cells.intercept_quadrature` as one PyTensor operation.

The same arithmetic as compiled Numba loops, together with its gradient. Fisher's identity gives the
gradient from the same nodes: the derivative of log L_j is the integrand-weighted mean of the
derivative of its logarithm. As a PyTensor expression, the quadrature would take four times as long
to compile. Tests compare it with the NumPy version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from ...spec.families import FAMILIES
from .intercept_quadrature import MAX_STEP, MODE_TOLERANCE, NEWTON_STEPS, grid


class IntegratedLikelihood(Op):  # type: ignore[misc]
    """Sum over profiles of count x log L_k, and its derivatives.

    Inputs: level (K,), offset (K, P), between_sd (K,), shape (), n (K, P), total (K, P),
    start (K,), count (K,); outputs: the sum (), then its derivatives in the first four inputs.

    Parameters
    ----------
    family : str
        Name of a family with a kernel.
    nodes : int
        Number of nodes.
    """

    __props__: tuple[str, ...] = ("family", "nodes")

    def __init__(self, family: str, nodes: int) -> None:
        self.family = family
        self.nodes = nodes

    def make_node(self, *inputs: Any) -> Apply[Any]:
        """Return the node; inputs become float64 variables."""
        variables = [pt.as_tensor(x).astype("float64") for x in inputs]
        level, offset, between_sd, shape = (x.type() for x in variables[:4])
        return Apply(self, variables, [pt.dscalar(), level, offset, between_sd, shape])

    def perform(self, node: Apply[Any], inputs: list[Any], outputs: list[list[Any]]) -> None:
        """Evaluate the operation outside Numba's mode."""
        results = _compiled(self.family, self.nodes)(*inputs)
        for storage, result in zip(outputs, results, strict=True):
            storage[0] = np.asarray(result)

    def pullback(
        self,
        inputs: list[Variable[Any, Any]],
        outputs: list[Variable[Any, Any]],
        cotangents: list[Variable[Any, Any]],
    ) -> list[Variable[Any, Any]]:
        """Return the gradient, whose derivatives are already among the outputs."""
        disconnected = [DisconnectedType()() for _ in inputs[4:]]
        return [*(cotangents[0] * derivative for derivative in outputs[1:]), *disconnected]

    def connection_pattern(self, node: Apply[Any]) -> list[list[bool]]:
        """Return that only the sum is differentiable, in the first four inputs."""
        return [[i < 4, False, False, False, False] for i in range(len(node.inputs))]


@register_funcify_default_op_cache_key(IntegratedLikelihood)  # type: ignore[untyped-decorator]
def _funcify(op: IntegratedLikelihood, node: Apply[Any], **kwargs: Any) -> Callable[..., Any]:
    return _kernel(op.family, op.nodes, numba_njit)


_COMPILED: dict[tuple[str, int], Callable[..., Any]] = {}


def _compiled(family: str, nodes: int) -> Callable[..., Any]:
    """Return the kernel for calls from Python."""
    if (family, nodes) not in _COMPILED:
        import numba

        _COMPILED[family, nodes] = _kernel(family, nodes, numba.njit)
    return _COMPILED[family, nodes]


def _kernel(family: str, nodes: int, njit: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled loops of one family."""
    cells = FAMILIES[family].cells
    if cells is None or cells.kernel is None:
        raise ValueError(f"family {family!r} has no kernel: its intercepts are sampled")
    density, derivatives = (njit(function) for function in cells.kernel)
    stretched, weight = grid(nodes)
    log_weight = np.log(weight)

    @njit
    def integrate(level, offset, between_sd, shape, n, total, start, count):  # type: ignore[no-untyped-def]
        phi = shape.item()
        profiles, width = n.shape
        value = 0.0
        d_level, d_between_sd = np.zeros(profiles), np.zeros(profiles)
        d_offset, d_shape = np.zeros((profiles, width)), 0.0
        terms, points = np.empty(nodes), np.empty(nodes)
        slopes, slopes_phi = np.empty((nodes, width)), np.empty(nodes)
        for k in range(profiles):
            precision = 1 / between_sd[k] ** 2
            units, shift = 0.0, 0.0
            for p in range(width):
                units += n[k, p]
                shift += n[k, p] * offset[k, p]
            a, information = start[k] - shift / units, 0.0
            for step in range(NEWTON_STEPS + 1):
                score, information = 0.0, 0.0
                for p in range(width):
                    if n[k, p] > 0:
                        s, i = derivatives(a + offset[k, p], n[k, p], total[k, p], phi)
                        score += s
                        information += i
                if step == 0:
                    a = (information * a + precision * level[k]) / (information + precision)
                    continue
                move = (score - precision * (a - level[k])) / (information + precision)
                a += min(max(move, -MAX_STEP), MAX_STEP)
                if abs(move) * np.sqrt(information + precision) < MODE_TOLERANCE:
                    break
            scale = 1 / np.sqrt(information + precision)
            largest = -np.inf
            for q in range(nodes):
                points[q] = a + scale * stretched[q]
                z = (points[q] - level[k]) / between_sd[k]
                term, slopes_phi[q] = log_weight[q] - 0.5 * z * z, 0.0
                for p in range(width):
                    slopes[q, p] = 0.0
                    if n[k, p] > 0:
                        eta = points[q] + offset[k, p]
                        v, slopes[q, p], in_phi = density(eta, n[k, p], total[k, p], phi)
                        term += v
                        slopes_phi[q] += in_phi
                terms[q] = term
                largest = max(largest, term)
            if largest == -np.inf:  # rates overflow
                value = -np.inf
                continue
            mass = 0.0
            for q in range(nodes):
                terms[q] = np.exp(terms[q] - largest)
                mass += terms[q]
            constant = np.log(scale / between_sd[k]) - 0.5 * np.log(2 * np.pi)
            value += count[k] * (np.log(mass) + largest + constant)
            for q in range(nodes):
                share = count[k] * terms[q] / mass
                if share > 0:
                    z = (points[q] - level[k]) / between_sd[k]
                    d_level[k] += share * z / between_sd[k]
                    d_between_sd[k] += share * (z * z - 1) / between_sd[k]
                    d_shape += share * slopes_phi[q]
                    for p in range(width):
                        d_offset[k, p] += share * slopes[q, p]
        return np.asarray(value), d_level, d_offset, d_between_sd, np.asarray(d_shape)

    return integrate
