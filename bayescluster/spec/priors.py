"""The priors of a specification, and their translation to SciPy and PyMC."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from .._support.arrays import Floats
from .spec_table import Table

if TYPE_CHECKING:
    import numpy as np
    from pytensor.tensor.variable import TensorVariable

#: Parameters of each prior distribution.
PRIOR_PARAMETERS: dict[str, tuple[str, ...]] = {
    "normal": ("mu", "sigma"),
    "student_t": ("nu", "mu", "sigma"),
    "half_normal": ("sigma",),
    "half_cauchy": ("sigma",),
    "exponential": ("mean",),
    "lognormal": ("median", "log_sd"),
}
#: Distributions on the whole line, for intercepts, effects and covariates.
LOCATION_PRIORS = ("normal", "student_t")
#: Distributions on the positive half-line, for standard deviations.
SCALE_PRIORS = ("half_normal", "half_cauchy", "exponential", "lognormal")


class Prior(Table):
    """A prior distribution of one parameter.

    Parameters
    ----------
    distribution : str
        ``normal`` or ``student_t`` for locations (intercept, effects, covariates); ``half_normal``,
        ``half_cauchy``, ``exponential`` or ``lognormal`` for standard deviations.
    mu, sigma, nu, mean, median, log_sd : float
        The distribution's parameters: normal(mu, sigma), student_t(nu, mu, sigma),
        half_normal(sigma), half_cauchy(sigma), exponential(mean), lognormal(median, log_sd).
    unit : {"outcome_sd", "outcome"}
        Unit of mu, sigma, mean and median. ``outcome_sd`` means standard deviations of the
        observed outcome (for ``intercept_mean``, from its observed mean; for a covariate, per
        standard deviation of the covariate); ``outcome`` means the outcome's own unit. For families
        with a link, both are on the link scale (log odds, log rate), where one standard deviation
        counts as 1.

    Examples
    --------
    >>> print(Prior(distribution="normal", mu=0, sigma=1))
    normal(mu=0, sigma=1) in SDs of the outcome
    """

    distribution: Literal[
        "normal", "student_t", "half_normal", "half_cauchy", "exponential", "lognormal"
    ]
    mu: float | None = None
    sigma: float | None = Field(default=None, gt=0)
    nu: float | None = Field(default=None, gt=0)
    mean: float | None = Field(default=None, gt=0)
    median: float | None = Field(default=None, gt=0)
    log_sd: float | None = Field(default=None, gt=0)
    unit: Literal["outcome_sd", "outcome"] = "outcome_sd"

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        wanted = set(PRIOR_PARAMETERS[self.distribution])
        known = {name for names in PRIOR_PARAMETERS.values() for name in names}
        given = {name for name in known if getattr(self, name) is not None}
        if given != wanted:
            raise ValueError(
                f"a {self.distribution} prior takes exactly {', '.join(sorted(wanted))}; "
                f"given: {', '.join(sorted(given)) or 'none'}"
            )
        return self

    @property
    def parameters(self) -> dict[str, float]:
        """The distribution's parameters by name, in this prior's unit."""
        return {name: getattr(self, name) for name in PRIOR_PARAMETERS[self.distribution]}

    def in_outcome_units(self, scale: float, location: float = 0.0) -> Prior:
        """Return the same prior in the outcome's own unit.

        Parameters
        ----------
        scale : float
            Size of one unit of the prior in the outcome's unit: the outcome's SD (for a covariate,
            divided by the covariate's SD).
        location : float
            Position of the prior's zero in the outcome's unit.
        """
        if self.unit == "outcome":
            return self
        changed = {
            name: value * scale
            for name, value in self.parameters.items()
            if name in ("mu", "sigma", "mean", "median")
        }
        if "mu" in changed:
            changed["mu"] += location
        return self.model_copy(update={**changed, "unit": "outcome"})

    def to_scipy(self) -> Any:
        """Return the frozen :mod:`scipy.stats` distribution, in this prior's unit."""
        from scipy import stats

        given = self.parameters
        match self.distribution:
            case "normal":
                return stats.norm(given["mu"], given["sigma"])
            case "student_t":
                return stats.t(given["nu"], given["mu"], given["sigma"])
            case "half_normal":
                return stats.halfnorm(scale=given["sigma"])
            case "half_cauchy":
                return stats.halfcauchy(scale=given["sigma"])
            case "exponential":
                return stats.expon(scale=given["mean"])
            case "lognormal":
                return stats.lognorm(given["log_sd"], scale=given["median"])

    def log_density(self, values: Floats) -> Floats:
        """Return the log-density at positive values; for priors of standard deviations only.

        Equals the log-density of `to_scipy`, but avoids its import, which takes a second.
        """
        import numpy as np

        given = self.parameters
        match self.distribution:
            case "half_normal":
                z = values / given["sigma"]
                return np.log(2 / (np.pi * given["sigma"] ** 2)) / 2 - z * z / 2
            case "half_cauchy":
                z = values / given["sigma"]
                return np.log(2 / (np.pi * given["sigma"])) - np.log1p(z * z)
            case "exponential":
                return -np.log(given["mean"]) - values / given["mean"]
            case "lognormal":
                log = np.log(values)
                z = (log - np.log(given["median"])) / given["log_sd"]
                return -np.log(2 * np.pi * given["log_sd"] ** 2) / 2 - log - z * z / 2
        raise ValueError(f"{self.distribution} cannot be the prior of a standard deviation")

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
        """Draw from the prior, in its own unit; returns an array of shape `size`."""
        given = self.parameters
        match self.distribution:
            case "normal":
                return rng.normal(given["mu"], given["sigma"], size)
            case "student_t":
                return given["mu"] + given["sigma"] * rng.standard_t(given["nu"], size)
            case "half_normal":
                return abs(rng.normal(0, given["sigma"], size))
            case "half_cauchy":
                return abs(given["sigma"] * rng.standard_cauchy(size))
            case "exponential":
                return rng.exponential(given["mean"], size)
            case "lognormal":
                return given["median"] * rng.lognormal(0, given["log_sd"], size)

    def to_pymc(
        self, name: str, as_data: Callable[[str, float], Any] | None = None, **kwargs: Any
    ) -> TensorVariable[Any, Any]:
        """Declare the prior as the variable `name` of the current PyMC model.

        Parameters
        ----------
        name : str
            Name of the variable.
        as_data : callable, optional
            Converts a parameter's name and value to a model variable, such as a ``pm.Data``.
        **kwargs
            Passed on to the distribution, such as dims.
        """
        import numpy as np
        import pymc as pm

        hold = as_data or (lambda _, value: np.float64(value))
        given = {key: hold(f"{name}_{key}", value) for key, value in self.parameters.items()}
        match self.distribution:
            case "normal":
                return pm.Normal(name, **given, **kwargs)
            case "student_t":
                return pm.StudentT(name, **given, **kwargs)
            case "half_normal":
                return pm.HalfNormal(name, **given, **kwargs)
            case "half_cauchy":
                return pm.HalfCauchy(name, beta=given["sigma"], **kwargs)
            case "exponential":
                return pm.Exponential(name, scale=given["mean"], **kwargs)
            case "lognormal":
                return pm.LogNormal(name, pm.math.log(given["median"]), given["log_sd"], **kwargs)

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.parameters.items())
        return f"{self.distribution}({values})" + (
            " in SDs of the outcome" if self.unit == "outcome_sd" else ""
        )


def _normal(sigma: float) -> Prior:
    return Prior(distribution="normal", mu=0, sigma=sigma)


def _half_normal(sigma: float) -> Prior:
    return Prior(distribution="half_normal", sigma=sigma)


class CovariatePriors(Table):
    """Priors of the slopes of single covariates; the keys are the covariates' columns."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Prior]

    @property
    def by_name(self) -> dict[str, Prior]:
        """The priors by covariate."""
        return dict(self.__pydantic_extra__)


class PriorsSpec(Table):
    """The prior of each parameter; the defaults are weakly informative.

    models/README.md states and justifies each default. The defaults shown here belong to the
    gaussian family; those of other families are in :mod:`bayescluster.spec.families`.

    Parameters
    ----------
    intercept_mean, direct, spillover, interaction, within_spillover : Prior
        Mean of the cluster intercepts among pure controls, and the effects.
    between_sd, within_sd : Prior
        Standard deviation of the cluster intercepts, and of units within a cluster (gaussian,
        lognormal; the scale for student_t).
    direct_sd, spillover_sd : Prior
        Standard deviation between clusters of an effect that varies (`heterogeneity.slopes`).
    log_size : Prior
        Change of the clusters' level per unit of the natural logarithm of their size (2.7 times as
        large), with `heterogeneity.size_effects`.
    direct_by_log_size, spillover_by_log_size : Prior
        The same change of an effect ...
    interaction_by_log_size, within_spillover_by_log_size : Prior
        ... for each effect of the design.
    overdispersion : Prior
        For negative_binomial: variance = mean + overdispersion x mean^2.
    degrees_of_freedom : Prior
        For student_t.
    stratum_effect : Prior
        Difference between a stratum and the average stratum, if strata are declared; normal
        around zero, and constrained to sum to zero.
    covariate : Prior
        Slope of each covariate that `covariates` does not name.
    covariates : CovariatePriors or dict of Prior
        Slopes of single covariates, by column.
    """

    intercept_mean: Prior = _normal(2.5)
    direct: Prior = _normal(2.5)
    spillover: Prior = _normal(2.5)
    interaction: Prior = _normal(2.5)
    within_spillover: Prior = _normal(2.5)
    between_sd: Prior = _half_normal(1)
    within_sd: Prior = _half_normal(2.5)
    direct_sd: Prior = _half_normal(0.5)
    spillover_sd: Prior = _half_normal(0.5)
    log_size: Prior = _normal(0.5)
    direct_by_log_size: Prior = _normal(0.25)
    spillover_by_log_size: Prior = _normal(0.25)
    interaction_by_log_size: Prior = _normal(0.25)
    within_spillover_by_log_size: Prior = _normal(0.25)
    overdispersion: Prior = Prior(distribution="exponential", mean=1, unit="outcome")
    degrees_of_freedom: Prior = Prior(
        distribution="lognormal", median=15, log_sd=0.8, unit="outcome"
    )
    stratum_effect: Prior = _normal(2.5)
    covariate: Prior = _normal(2.5)
    covariates: CovariatePriors = CovariatePriors()

    @model_validator(mode="after")
    def _supports_fit(self) -> Self:
        named = {name: prior for name, prior in self if isinstance(prior, Prior)}
        for name, prior in (named | self.covariates.by_name).items():
            positive = name.endswith("_sd") or name in ("overdispersion", "degrees_of_freedom")
            valid = SCALE_PRIORS if positive else LOCATION_PRIORS
            if prior.distribution not in valid:
                raise ValueError(
                    f"{name} takes one of {', '.join(valid)}, not {prior.distribution}"
                )
        for name in ("overdispersion", "degrees_of_freedom"):
            if getattr(self, name).unit != "outcome":
                raise ValueError(f"{name} does not scale with the outcome: set unit = 'outcome'")
        if self.stratum_effect.distribution != "normal" or self.stratum_effect.mu != 0:
            raise ValueError("stratum_effect takes a normal prior with mu = 0")
        return self
