"""Draws of a model's parameters as arrays, from any sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._support.arrays import Floats
from ..data.experiment import Experiment

if TYPE_CHECKING:
    import xarray as xr


def check_posterior(exp: Experiment, tree: xr.DataTree, *, recorded: bool = False) -> None:
    """Raise if a posterior belongs to other data or to another model than an experiment's.

    Parameters
    ----------
    exp : Experiment
        The experiment.
    tree : DataTree
        The posterior.
    recorded : bool
        Whether the posterior must record its experiment, as those of :func:`fit` do.

    Raises
    ------
    ValueError
        If it belongs to another experiment.
    """
    expected = {"data_fingerprint": exp.fingerprint, "model_hash": exp.spec.model_hash}
    for name, value in expected.items():
        found = tree.attrs.get(name)
        if found != value and (recorded or found is not None):
            raise ValueError(
                f"the posterior is not of this experiment: its {name} is {found!r}, not {value!r}; "
                "fit this experiment"
            )


@dataclass(frozen=True, eq=False)
class ParameterDraws:
    """Parameters, with leading axes of draws.

    Parameters
    ----------
    level : ndarray, shape (..., J) or (..., 1)
        Mean of the cluster intercepts.
    effects : ndarray, shape (..., p)
        Coefficients of the regressors.
    between_sd : ndarray, shape (...) or (..., J)
        Standard deviation of the cluster intercepts; by cluster if it differs between arms.
    within_sd : ndarray, shape (...), optional
        Standard deviation (student_t: scale) of units within a cluster.
    shape : ndarray, shape (...), optional
        overdispersion or degrees_of_freedom.
    slope_sd : ndarray, shape (..., q), optional
        Standard deviations of the varying effects.
    """

    level: Floats
    effects: Floats
    between_sd: Floats
    within_sd: Floats | None = None
    shape: Floats | None = None
    slope_sd: Floats | None = None

    @classmethod
    def of(cls, draws: xr.Dataset, exp: Experiment) -> ParameterDraws:
        """Read draws (chain, draw, ...) of the model's variables."""
        moments, spec = exp.moments(), exp.spec
        level = draws["intercept_mean"].to_numpy()[..., None]
        if "stratum_effect" in draws:
            level = level + draws["stratum_effect"].to_numpy()[..., moments.stratum_code]
        between_sd = draws["between_sd"].to_numpy()
        if spec.heterogeneity.between_sd_by_arm:
            between_sd = between_sd[..., exp.treated.astype(int)]
        extra = spec.family.extra
        slopes = [draws[f"{name}_sd"].to_numpy() for name in spec.heterogeneity.slopes]
        return cls(
            level=level,
            effects=np.stack([draws[name].to_numpy() for name in exp.model_moments.names], axis=-1),
            between_sd=between_sd,
            within_sd=draws["within_sd"].to_numpy() if "within_sd" in draws else None,
            shape=draws[extra.name].to_numpy() if extra else None,
            slope_sd=np.stack(slopes, axis=-1) if slopes else None,
        )

    @property
    def shape_of_draws(self) -> tuple[int, ...]:
        """Shape of the axes of draws."""
        return self.effects.shape[:-1]

    def between_sd_of(self, clusters: int) -> Floats:
        """Return between_sd of each cluster; shape (..., J)."""
        if self.between_sd.ndim == self.effects.ndim:
            return self.between_sd
        return np.broadcast_to(self.between_sd[..., None], (*self.shape_of_draws, clusters))

    @property
    def shape_or_one(self) -> Floats:
        """`shape`, or ones if the family has none."""
        return np.ones(self.shape_of_draws) if self.shape is None else self.shape

    @property
    def within_or_one(self) -> Floats:
        """`within_sd`, or ones if the family has none."""
        return np.ones(self.shape_of_draws) if self.within_sd is None else self.within_sd

    def flattened(self) -> ParameterDraws:
        """Return the same draws with one leading axis."""
        lead = len(self.shape_of_draws)
        return self._map(lambda part: part.reshape(-1, *part.shape[lead:]))

    def __getitem__(self, rows: slice) -> ParameterDraws:
        return self._map(lambda part: part[rows])

    def _map(self, function: Callable[[Floats], Floats]) -> ParameterDraws:
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        given = {name: function(part) for name, part in parts.items() if part is not None}
        return ParameterDraws(**given)
