"""What is asked: the model specification, from TOML or from code, frozen and hashed.

A specification is the pre-registration of an analysis: the roles of the columns, the outcome's
family, the priors and the decision rule. It can be written, reviewed and hashed before data arrive.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ._table import Table
from .errors import SpecError
from .priors import LOCATION_PRIORS, SCALE_PRIORS, Prior

#: Level of every interval where no specification says another.
DEFAULT_CI_PROB = 0.95
#: Names that the posterior gives to its own parameters and dimensions.
RESERVED_NAMES = frozenset(
    {"intercept", "intercept_mean", "direct", "spillover", "between_sd", "within_sd", "stratum"}
    | {"stratum_effect", "cluster", "chain", "draw", "cluster_mean", "within_score", "within_ss"}
    | {"within"}
)

ColumnName = Annotated[str, Field(min_length=1)]


class DesignSpec(Table):
    """The roles of the columns in the design.

    Parameters
    ----------
    cluster : str
        Column of the randomised unit (the workspace).
    treatment : str
        Column of the cluster's arm: 0 or 1 (or boolean), constant within a cluster.
    spillover : str, optional
        Column of the exposure of control units to treated ones, in [0, 1]; 0 for treated units.
    unit : str, optional
        Column that identifies a unit (the user); each may occur once. Without it, duplicates are
        not looked for.
    strata : str, optional
        Column of the randomisation stratum (block, matched pair), constant within a cluster.
    mechanism : {"complete", "stratified", "matched_pairs", "bernoulli", "rerandomised"}, optional
        How clusters were assigned: a fixed number treated in all, a fixed number in each stratum,
        one of each pair, by coin flips (that take no heed of strata), or drawn again until
        balanced. Without it, complete, or stratified where there are strata.
    balance : tuple of str
        For rerandomised: columns whose cluster means were balanced, all of them covariates of the
        outcome. Complete or (where there are strata) stratified assignments were drawn again ...
    max_distance : float, optional
        ... until the Mahalanobis distance between the arms was at most this; see
        :class:`bayescluster.Rerandomised`.
    """

    cluster: ColumnName
    treatment: ColumnName
    spillover: ColumnName | None = None
    unit: ColumnName | None = None
    strata: ColumnName | None = None
    mechanism: (
        Literal["complete", "stratified", "matched_pairs", "bernoulli", "rerandomised"] | None
    ) = None
    balance: tuple[ColumnName, ...] = ()
    max_distance: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _mechanism_has_its_strata(self) -> Self:
        if self.mechanism in ("stratified", "matched_pairs") and self.strata is None:
            raise ValueError(f"mechanism {self.mechanism!r} needs a strata column")
        given = {"balance": bool(self.balance), "max_distance": self.max_distance is not None}
        for key, there in given.items():
            if there != (self.mechanism == "rerandomised"):
                verb = "belongs to" if there else "is needed for"
                raise ValueError(f"{key} {verb} mechanism 'rerandomised'")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Column of each role that has one."""
        return self.model_dump(exclude_none=True, exclude={"mechanism", "balance", "max_distance"})


class OutcomeSpec(Table):
    """The outcome, its family and its covariates.

    Parameters
    ----------
    column : str
        Column of the outcome, numeric.
    family : {"gaussian"}
        Distribution of the outcome within a cluster.
    covariates : tuple of str
        Numeric columns to adjust for, measured before treatment.
    missing : {"error", "drop"}
        What to do with rows whose outcome or covariate is null or NaN: refuse the data (the
        default), or leave the rows out and report how many.
    label : str, optional
        Words for the outcome, with its unit, on plots and in the report.
    """

    column: ColumnName
    family: Literal["gaussian"] = "gaussian"
    covariates: tuple[ColumnName, ...] = ()
    missing: Literal["error", "drop"] = "error"
    label: str | None = None


class CovariatePriors(Table):
    """Priors of single covariates' slopes: the keys are the covariates' columns."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Prior]

    @property
    def by_name(self) -> dict[str, Prior]:
        """The priors by covariate."""
        return dict(self.__pydantic_extra__)


class PriorsSpec(Table):
    """The prior of each parameter; by default weakly informative in units of the outcome's SD.

    models/README.md states and justifies each default.

    Parameters
    ----------
    intercept_mean, direct, spillover : Prior
        Mean of the cluster intercepts among pure controls, and the two effects.
    between_sd, within_sd : Prior
        Standard deviation of the cluster intercepts, and of units within a cluster.
    stratum_effect : Prior
        Difference between a stratum and the average stratum, where strata are declared; normal
        around zero, and constrained to sum to zero.
    covariate : Prior
        Slope of every covariate that `covariates` does not name.
    covariates : CovariatePriors or dict of Prior
        Slopes of single covariates, by column.
    """

    intercept_mean: Prior = Prior(distribution="normal", mu=0, sigma=2.5)
    direct: Prior = Prior(distribution="normal", mu=0, sigma=2.5)
    spillover: Prior = Prior(distribution="normal", mu=0, sigma=2.5)
    between_sd: Prior = Prior(distribution="half_normal", sigma=1)
    within_sd: Prior = Prior(distribution="half_normal", sigma=2.5)
    stratum_effect: Prior = Prior(distribution="normal", mu=0, sigma=2.5)
    covariate: Prior = Prior(distribution="normal", mu=0, sigma=2.5)
    covariates: CovariatePriors = CovariatePriors()

    @model_validator(mode="after")
    def _supports_fit(self) -> Self:
        named = {name: prior for name, prior in self if isinstance(prior, Prior)}
        for name, prior in (named | self.covariates.by_name).items():
            valid = SCALE_PRIORS if name in ("between_sd", "within_sd") else LOCATION_PRIORS
            if prior.distribution not in valid:
                raise ValueError(
                    f"{name} takes one of {', '.join(valid)}, not {prior.distribution}"
                )
        if self.stratum_effect.distribution != "normal" or self.stratum_effect.mu != 0:
            raise ValueError("stratum_effect takes a normal prior with mu = 0")
        return self


class ReportSpec(Table):
    """How results are stated and what decides.

    Parameters
    ----------
    ci_prob : float
        Probability of every interval, confidence or credible (equal-tailed).
    rope : pair of float, optional
        Region of practical equivalence, in the outcome's unit: effects inside are too small to
        matter.
    threshold : float
        Smallest effect worth acting on, in the outcome's unit; negative where a decrease is sought.
    direction : {"increase", "decrease"}
        Whether an effect must lie above the threshold, or below it, to be worth acting on.
    decision_prob : float
        Posterior probability of exceeding the threshold at which the report speaks of a clear case.
    """

    ci_prob: float = Field(default=DEFAULT_CI_PROB, gt=0, lt=1)
    rope: tuple[float, float] | None = None
    threshold: float = 0.0
    direction: Literal["increase", "decrease"] = "increase"
    decision_prob: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _rope_is_an_interval(self) -> Self:
        if self.rope is not None and not self.rope[0] < self.rope[1]:
            raise ValueError(f"rope must be [lower, upper] with lower < upper; given {self.rope}")
        if self.rope is not None and not self.rope[0] <= 0 <= self.rope[1]:
            raise ValueError(f"rope must contain zero, the absence of an effect; given {self.rope}")
        return self


class ModelSpec(Table):
    """One analysis: roles, outcome, priors and decision rule.

    Parameters
    ----------
    design : DesignSpec or dict
        Roles of the columns.
    outcome : OutcomeSpec or dict
        The outcome and its covariates.
    priors : PriorsSpec or dict
        Priors; every one has a weakly informative default.
    report : ReportSpec or dict
        Interval level, region of practical equivalence, decision threshold.
    title, question : str
        Words for the report.

    Raises
    ------
    SpecError
        Where a key is unknown (the valid ones are named), a value is invalid or one column has two
        roles.

    Examples
    --------
    >>> spec = ModelSpec(
    ...     design={"cluster": "workspace", "treatment": "treated"}, outcome={"column": "minutes"}
    ... )
    >>> spec.report.ci_prob
    0.95
    """

    title: str = "Cluster-randomised experiment"
    question: str = ""
    design: DesignSpec
    outcome: OutcomeSpec
    priors: PriorsSpec = PriorsSpec()
    report: ReportSpec = ReportSpec()

    @model_validator(mode="after")
    def _roles_fit_together(self) -> Self:
        roles = [
            *self.design.columns.items(),
            ("column", self.outcome.column),
        ]
        roles += [("covariates", name) for name in self.outcome.covariates]
        seen: dict[str, str] = {}
        for role, column in roles:
            if column in seen:
                raise ValueError(f"column {column!r} is both {seen[column]} and {role}")
            seen[column] = role
        if unknown := set(self.design.balance) - set(self.outcome.covariates):
            raise ValueError(
                f"design.balance names {sorted(unknown)}, which outcome.covariates "
                f"{list(self.outcome.covariates)} does not: adjust for what was balanced"
            )
        columns = [self.outcome.column, *self.outcome.covariates]
        if taken := RESERVED_NAMES.intersection(columns):
            raise ValueError(
                f"column name {sorted(taken)} is one of the posterior's own names; rename the "
                "outcome or covariate"
            )
        if unknown := set(self.priors.covariates.by_name) - set(self.outcome.covariates):
            raise ValueError(
                f"priors.covariates names {sorted(unknown)}, which outcome.covariates "
                f"{list(self.outcome.covariates)} does not"
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal: any change of any key changes it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def model_hash(self) -> str:
        """Hash of what the posterior depends on: design, outcome and priors, not the report."""
        return self.model_copy(update={"title": "", "question": "", "report": ReportSpec()}).hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def to_toml(self) -> str:
        """Return the specification as TOML; `from_toml` gives it back without loss."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_toml(cls, text: str) -> ModelSpec:
        """Read a specification from TOML text.

        Raises
        ------
        SpecError
            Where the text is not TOML, or not a specification.
        """
        try:
            return cls(**tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"the specification is not valid TOML: {error}") from None

    def prior_of(self, covariate: str) -> Prior:
        """Return the prior of a covariate's slope."""
        return self.priors.covariates.by_name.get(covariate, self.priors.covariate)


def load_spec(path: str | Path) -> ModelSpec:
    """Read a model specification from a TOML file.

    Raises
    ------
    SpecError
        Where the file cannot be read or is not a specification; the message names the file.
    """
    try:
        return ModelSpec.from_toml(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from None
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
