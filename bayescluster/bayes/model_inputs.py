"""The inputs of a model: sufficient statistics, and priors in the outcome's unit; no PyMC."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

import numpy as np

from .._support.arrays import Integers
from ..data.experiment import Experiment
from ..errors import FitError
from ..spec.priors import Prior
from .cells.cell_likelihood import CellLikelihood
from .cells.intercept_quadrature import NODES
from .gaussian.gaussian_likelihood import GaussianStatistics

#: Intercepts are sampled if one evaluation of the integrated likelihood would take more than this
#: number of evaluations of a cell's density.
MAX_EVALUATIONS = 50_000
#: Intercepts are also sampled if a cluster has more cells, which then determine them well.
MAX_CELLS = 40


class ModelKind(StrEnum):
    """The kinds of model, by type of data and by treatment of the cluster intercepts."""

    #: Moments of gaussian outcomes (or of logarithms); intercepts integrated out.
    GAUSSIAN = "gaussian"
    #: As above, with effects that vary between clusters, integrated out too.
    GAUSSIAN_SLOPES = "gaussian with varying effects"
    #: Cells; intercepts integrated out by quadrature.
    CELLS_INTEGRATED = "cells, intercepts integrated out"
    #: Cells; intercepts (and varying effects) sampled.
    CELLS_SAMPLED = "cells, intercepts sampled"


def model_kind(exp: Experiment) -> ModelKind:
    """Return the kind of an experiment's model; all other code uses this choice."""
    if exp.spec.family.cells is None:
        slopes = exp.spec.heterogeneity.slopes
        return ModelKind.GAUSSIAN_SLOPES if slopes else ModelKind.GAUSSIAN
    sampled = _samples_intercepts(exp)
    return ModelKind.CELLS_SAMPLED if sampled else ModelKind.CELLS_INTEGRATED


def gaussian_statistics(exp: Experiment) -> GaussianStatistics:
    """Return the statistics of a gaussian model, covariates centred at their means."""
    return GaussianStatistics.of(exp.model_moments, _center(exp))


@lru_cache(maxsize=8)  # layout and number of nodes are needed in several places
def cell_likelihood(exp: Experiment) -> CellLikelihood:
    """Return the cell likelihood of a model that is not gaussian, covariates centred at means.

    Raises
    ------
    FitError
        If the family has a within_sd, and every cluster has a single unit.
    """
    if exp.spec.family.has_within_sd and exp.n_units == exp.moments().n_clusters:
        raise FitError(
            f"each of the {exp.n_units:,} clusters has a single unit: variation between clusters "
            "cannot be separated from variation within; use the cluster-level methods"
        )
    center = _center(exp)
    points = np.array([center.get(name, 0.0) for name in exp.model_moments.names])
    return CellLikelihood.of(
        exp.spec.family,
        exp.model_cells,
        points,
        intercept_groups(exp),
        exp.spec.heterogeneity.slopes,
    )


def _samples_intercepts(exp: Experiment) -> bool:
    """Whether a model of cells samples the cluster intercepts instead of integrating them out.

    It does if effects vary between clusters, if the family has no kernel (student_t), or if
    continuous covariates give so many cells that integration is slower than sampling.
    """
    data = cell_likelihood(exp)
    if data.density.kernel is None or exp.spec.heterogeneity.slopes:
        return True
    cells, most = data.profiles.n.size, data.profiles.n.shape[1]
    if most > MAX_CELLS or cells * NODES[0] > MAX_EVALUATIONS:  # counting nodes is slow
        return True
    return cells * data.nodes > MAX_EVALUATIONS


def intercept_groups(exp: Experiment) -> Integers:
    """Return a code of each cluster's stratum and, if `between_sd` differs, arm; (J,)."""
    code = 2 * exp.moments().stratum_code
    return code + exp.treated if exp.spec.heterogeneity.between_sd_by_arm else code


def resolved_priors(exp: Experiment) -> dict[str, Prior]:
    """Return the prior of each parameter in the outcome's own unit, or on the link scale.

    Priors in units of the outcome's SD use the SD of all units (1 on a link scale). The prior of
    ``intercept_mean`` is relative to the mean of all units; that of a covariate is per SD of the
    covariate.
    """
    moments, spec = exp.moments(), exp.spec
    family, priors = spec.family, spec.priors
    center = float(moments.grand_means[-1])
    sd = 1.0 if family.has_link else float(moments.sd[-1])
    location = float(family.link.of_mean(center))
    resolved = {"intercept_mean": priors.intercept_mean.in_outcome_units(sd, location)}
    for name in spec.design.effects:
        resolved[name] = getattr(priors, name).in_outcome_units(sd)
    for name in exp.covariates:
        scale = sd / float(moments.sd[moments.column(name)])
        resolved[name] = spec.prior_of(name).in_outcome_units(scale)
    for name in exp.size_terms:
        resolved[name] = getattr(priors, name).in_outcome_units(sd)
    if spec.design.strata:
        resolved["stratum_effect"] = priors.stratum_effect.in_outcome_units(sd)
    scales = ["between_sd", *(f"{name}_sd" for name in spec.heterogeneity.slopes)]
    scales += ["within_sd"] if family.has_within_sd else []
    for name in scales:
        resolved[name] = getattr(priors, name).in_outcome_units(sd)
    if family.extra:
        resolved[family.extra.name] = getattr(priors, family.extra.name)
    return resolved


def _center(exp: Experiment) -> dict[str, float]:
    moments = exp.moments()
    grand_mean = dict(zip(moments.names, moments.grand_means, strict=False))
    return {name: float(grand_mean[name]) for name in exp.covariates}
