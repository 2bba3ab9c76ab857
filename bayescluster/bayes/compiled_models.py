"""Compiled models, shared by experiments whose models have the same structure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from ..data.experiment import Experiment
from .cells.cell_models import constant_within, is_informative
from .model_inputs import (
    ModelKind,
    cell_likelihood,
    gaussian_statistics,
    model_kind,
    resolved_priors,
)
from .pymc_model import build_model

if TYPE_CHECKING:
    import pymc as pm

#: Compiled models that a process keeps; the least recently used one is dropped first.
MAX_COMPILED = 16
_COMPILED: OrderedDict[tuple[Any, ...], Any] = OrderedDict()


def compiled_model(exp: Experiment) -> Any:
    """Return nutpie's compiled model of an experiment, with its data.

    The first experiment of a structure (see `structure`) compiles the code, which takes about ten
    seconds. Later ones in the same process reuse it and only replace data and prior parameters.
    """
    model = build_model(exp, as_data=True)
    key = structure(exp)
    if key not in _COMPILED:
        _COMPILED[key] = _compile(model, exp)
        while len(_COMPILED) > MAX_COMPILED:
            _COMPILED.popitem(last=False)
        return _COMPILED[key]
    _COMPILED.move_to_end(key)
    data = {variable.name: variable.get_value() for variable in model.data_vars}
    return _COMPILED[key].with_data(**data)


def structure(exp: Experiment) -> tuple[Any, ...]:
    """Return what determines the code of an experiment's model, apart from its numbers."""
    spec, moments, kind = exp.spec, exp.moments(), model_kind(exp)
    if kind in (ModelKind.GAUSSIAN, ModelKind.GAUSSIAN_SLOPES):
        family = ""  # one model serves the outcome and its logarithm
        shape: tuple[Any, ...] = (bool(len(gaussian_statistics(exp).within_score)),)
    else:
        family, data = spec.family.name, cell_likelihood(exp)
        if kind is ModelKind.CELLS_SAMPLED:
            shape = (is_informative(data), *constant_within(data)[0].tolist())
        else:
            shape = (data.nodes,)
    priors = tuple((name, prior.distribution) for name, prior in resolved_priors(exp).items())
    sizes = (moments.n_clusters, len(moments.stratum_levels))
    return (kind, family, spec.heterogeneity, priors, sizes, shape)


def _compile(model: pm.Model, exp: Experiment) -> Any:
    import nutpie

    # Slopes of covariates start at their prior's centre: a random start could be far from the data.
    fixed = set(exp.covariates)
    jittered = {variable for variable in model.free_RVs if variable.name not in fixed}
    return nutpie.compile_pymc_model(model, jitter_rvs=jittered)
