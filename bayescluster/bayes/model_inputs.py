"""What a model is built from: sufficient statistics and priors in the outcome's unit, no PyMC."""

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

#: More evaluations of a cell's density than this for one of the likelihood, and integrating the
#: intercepts out costs more than sampling them.
MAX_EVALUATIONS = 50_000
#: Likewise where a cluster has more cells than this: it then knows its intercept well.
MAX_CELLS = 40


class ModelKind(StrEnum):
    """The kinds of model, by what is observed and what becomes of the cluster intercepts."""

    #: Moments of gaussian outcomes (or of logarithms); intercepts integrated out.
    GAUSSIAN = "gaussian"
    #: The same with effects that vary between clusters, integrated out too.
    GAUSSIAN_SLOPES = "gaussian with varying effects"
    #: Cells; intercepts integrated out by quadrature.
    CELLS_INTEGRATED = "cells, intercepts integrated out"
    #: Cells; intercepts (and effects that vary) sampled.
    CELLS_SAMPLED = "cells, intercepts sampled"


def model_kind(exp: Experiment) -> ModelKind:
    """Return the kind of model that an experiment has: the one place that chooses it."""
    if exp.spec.family.cells is None:
        slopes = exp.spec.heterogeneity.slopes
        return ModelKind.GAUSSIAN_SLOPES if slopes else ModelKind.GAUSSIAN
    sampled = _samples_intercepts(exp)
    return ModelKind.CELLS_SAMPLED if sampled else ModelKind.CELLS_INTEGRATED


def gaussian_statistics(exp: Experiment) -> GaussianStatistics:
    """Return the statistics of a gaussian model, covariates centred at their means."""
    return GaussianStatistics.of(exp.moments(), _center(exp))


@lru_cache(maxsize=8)  # the layout and the number of nodes are asked for in several places
def cell_likelihood(exp: Experiment) -> CellLikelihood:
    """Return the cells of any other model, covariates centred at their means.

    Raises
    ------
    FitError
        Where units scatter within clusters by a parameter of their own, and every cluster has a
        single unit.
    """
    if exp.spec.family.has_within_sd and exp.n_units == exp.moments().n_clusters:
        raise FitError(
            f"every one of the {exp.n_units:,} clusters has a single unit: variation between and "
            "within clusters cannot be told apart; use the cluster-level methods"
        )
    center = _center(exp)
    points = np.array([center.get(name, 0.0) for name in exp.moments().names])
    return CellLikelihood.of(
        exp.spec.family,
        exp.cells(),
        points,
        intercept_groups(exp),
        exp.spec.heterogeneity.slopes,
    )


def _samples_intercepts(exp: Experiment) -> bool:
    """Whether a model of cells samples the cluster intercepts, rather than integrating them out.

    It does where effects vary between clusters, where the family has no kernel (student_t), and
    where continuous covariates leave so many cells that integration costs more than it saves.
    """
    data = cell_likelihood(exp)
    if data.density.kernel is None or exp.spec.heterogeneity.slopes:
        return True
    cells, most = data.laid.n.size, data.laid.n.shape[1]
    if most > MAX_CELLS or cells * NODES[0] > MAX_EVALUATIONS:  # before counting nodes takes time
        return True
    return cells * data.nodes > MAX_EVALUATIONS


def intercept_groups(exp: Experiment) -> Integers:
    """Return a code of stratum and, where `between_sd` differs, of arm, of each cluster; (J,)."""
    code = 2 * exp.moments().stratum_code
    return code + exp.treated if exp.spec.heterogeneity.between_sd_by_arm else code


def resolved_priors(exp: Experiment) -> dict[str, Prior]:
    """Return the prior of every parameter in the outcome's own unit, or on the link scale.

    Priors in units of the outcome's SD use the SD of all units (1 on a link scale); that of
    ``intercept_mean`` counts from the mean of all units, that of a covariate per SD of the
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
