"""Parts of every PyMC model: data, parameters, and linear predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.experiment import Experiment
from .model_inputs import resolved_priors


@dataclass(frozen=True)
class Holder:
    """Holds an array or number for a model: as a constant in float64, or as ``pm.Data``."""

    as_data: bool

    def __call__(self, name: str, value: Any) -> Any:
        """Return the model's variable or constant for a value."""
        values = np.asarray(value)
        # As float64, because PyTensor stores a bare number as float32 if that represents it.
        values = values if values.dtype.kind == "i" else values.astype(np.float64)
        if not self.as_data:
            return values
        import pymc as pm

        return pm.Data(f"data: {name}", values)  # the prefix avoids names of covariates


@dataclass(frozen=True, eq=False)
class Parameters:
    """The variables that all models share.

    Parameters
    ----------
    level : variable
        Mean of the cluster intercepts; a scalar, or of shape (J,) with strata.
    effects : list of variable
        Coefficients, in the order of the regressors.
    between_sd : variable
        A scalar, or of shape (J,) if it differs between arms.
    within_sd, shape : variable or None
        See `build_model`; `shape` is the family's extra parameter.
    slope_sd : dict of str to variable
        Standard deviations of the varying effects.
    """

    level: Any
    effects: list[Any]
    between_sd: Any
    within_sd: Any
    shape: Any
    slope_sd: dict[str, Any]

    @classmethod
    def declare(cls, exp: Experiment, hold: Holder) -> Parameters:
        """Declare the parameters, with their priors, in the current model."""
        import pymc as pm

        priors, moments, spec = resolved_priors(exp), exp.moments(), exp.spec

        def declare(name: str, **kwargs: Any) -> Any:
            return priors[name].to_pymc(name, hold, **kwargs)

        level = declare("intercept_mean")
        effects = [declare(name) for name in exp.model_moments.names]
        if "stratum_effect" in priors:
            sigma = hold("stratum_effect_sigma", priors["stratum_effect"].parameters["sigma"])
            stratum_effect = pm.ZeroSumNormal("stratum_effect", sigma, dims="stratum")
            level = level + stratum_effect[hold("stratum_code", moments.stratum_code)]
        if spec.heterogeneity.between_sd_by_arm:
            by_arm = declare("between_sd", dims="arm")
            between_sd = by_arm[hold("arm_code", exp.treated.astype(np.int64))]
        else:
            between_sd = declare("between_sd")
        extra = spec.family.extra
        return cls(
            level=level,
            effects=effects,
            between_sd=between_sd,
            within_sd=declare("within_sd") if "within_sd" in priors else None,
            shape=declare(extra.name) if extra else None,
            slope_sd={name: declare(f"{name}_sd") for name in spec.heterogeneity.slopes},
        )


def linear(x: Any, effects: Sequence[Any]) -> Any:
    """Return x b over the last axis of x, without a matrix product."""
    return sum(x[..., i] * effect for i, effect in enumerate(effects))
