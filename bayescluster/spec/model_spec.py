"""The model specification: read from TOML or built in code, frozen and hashed.

A specification pre-registers an analysis: the roles of the columns, the outcome's family, the
priors and the decision rule. It can be written, reviewed and hashed before data arrive.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .._support.display import OutcomeUnit
from ..errors import SpecError
from .exposure_section import ExposureSpec
from .families import FAMILIES, Family, check_family_name
from .priors import Prior, PriorsSpec
from .size_terms import SIZE_TERMS
from .spec_table import Table

#: Default level of every interval.
DEFAULT_CI_PROB = 0.95
#: Names of the posterior's own parameters and dimensions.
RESERVED_NAMES = frozenset(
    {"intercept", "intercept_mean", "direct", "spillover", "between_sd", "within_sd", "stratum"}
    | {"stratum_effect", "cluster", "chain", "draw", "cluster_mean", "within_score", "within_ss"}
    | {"within", "interaction", "within_spillover", "direct_sd", "spillover_sd", "arm", "units"}
    | {"cluster_level", "cluster_level_standard"}
    | {name for family in FAMILIES.values() for name in family.parameters}
    | {"direct_of_cluster", "direct_of_cluster_standard"}
    | {"spillover_of_cluster", "spillover_of_cluster_standard"}
    | set(SIZE_TERMS)
)

#: Whom an effect is averaged over.
Average = Literal["user", "cluster"]
ColumnName = Annotated[str, Field(min_length=1)]
#: The name of a family in the registry.
FamilyName = Annotated[str, AfterValidator(check_family_name)]


class DesignSpec(Table):
    """The roles of the columns in the design.

    Parameters
    ----------
    cluster : str
        Column of the randomised unit (the workspace).
    treatment : str
        Column of the cluster's arm: 0 or 1 (or boolean), constant within a cluster.
    spillover : str, optional
        Column that measures how much control units are exposed to treated units of other clusters,
        in [0, 1]: an indicator or a dose. 0 for treated units, unless `interaction`.
    interaction : bool
        Whether treated units may be exposed too. There are then four exposure conditions, and the
        interaction of treatment and exposure is a third effect.
    level : {"cluster", "unit"}
        What was treated: whole clusters, or single units within them (a partial rollout).
    saturation : str, optional
        For a partial rollout: column with the share of the cluster that was assigned to treatment,
        in [0, 1] and constant within a cluster. Untreated units then have a spillover effect
        proportional to it, ``within_spillover``.
    unit : str, optional
        Column that identifies a unit (the user); each unit may occur once. Without it, duplicates
        are not checked.
    strata : str, optional
        Column of the randomisation stratum (block, matched pair), constant within a cluster.
    size : str, optional
        Column of the cluster's number of units before treatment, constant within a cluster. The
        default is the number of rows analysed, which treatment may change.
    mechanism : {"complete", "stratified", "matched_pairs", "bernoulli", "rerandomised"}, optional
        How clusters were assigned: a fixed number treated in total, a fixed number in each stratum,
        one of each pair, independent coin flips (which ignore strata), or redrawn until balanced.
        The default is stratified if there are strata, and complete otherwise.
    balance : tuple of str
        For rerandomised: columns whose cluster means were balanced. Each must be a covariate of
        the outcome. Complete (with strata: stratified) assignments were redrawn ...
    max_distance : float, optional
        ... until the Mahalanobis distance between the arms was at most this value; see
        :class:`bayescluster.assignment.Rerandomised`.
    """

    cluster: ColumnName
    treatment: ColumnName
    spillover: ColumnName | None = None
    unit: ColumnName | None = None
    strata: ColumnName | None = None
    size: ColumnName | None = None
    mechanism: (
        Literal["complete", "stratified", "matched_pairs", "bernoulli", "rerandomised"] | None
    ) = None
    balance: tuple[ColumnName, ...] = ()
    max_distance: float | None = Field(default=None, gt=0)
    interaction: bool = False
    level: Literal["cluster", "unit"] = "cluster"
    saturation: ColumnName | None = None

    @model_validator(mode="after")
    def _effects_have_their_columns(self) -> Self:
        if self.interaction and self.spillover is None:
            raise ValueError("interaction needs a spillover column")
        if self.saturation is not None and self.level != "unit":
            raise ValueError(
                "saturation describes a partial rollout: it needs level = 'unit' (where whole "
                "clusters are treated, a cluster's untreated units have no treated teammates)"
            )
        if self.level == "unit" and self.mechanism is not None:
            raise ValueError(
                "mechanism says how whole clusters were assigned; with level = 'unit' leave it out"
            )
        return self

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
        """Column of each role; roles without a column are left out."""
        roles = ("cluster", "treatment", "spillover", "unit", "strata", "saturation", "size")
        return {role: column for role in roles if (column := getattr(self, role)) is not None}

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the effects of the design, in the order of the regressors."""
        present = {
            "direct": True,
            "spillover": self.spillover is not None,
            "interaction": self.interaction,
            "within_spillover": self.saturation is not None,
        }
        return tuple(name for name, there in present.items() if there)


class OutcomeSpec(Table):
    """The outcome, its family and its covariates.

    Parameters
    ----------
    column : str
        Column of the outcome, numeric.
    family : str
        Distribution of the outcome within a cluster: ``gaussian``, ``lognormal`` (gaussian on the
        log scale), ``bernoulli`` (0 or 1; logit link), ``poisson`` and ``negative_binomial``
        (counts; log link) or ``student_t`` (heavy tails).
    covariates : tuple of str
        Columns to adjust for, measured before treatment: numbers, or text (categories; the most
        frequent one is the reference).
    pre_period : str, optional
        Column of the outcome before the experiment. It is a covariate like any other, with its own
        key because it usually removes the most variance (CUPED).
    missing : {"error", "drop"}
        What to do with rows whose outcome or covariate is null or NaN: refuse the data (the
        default), or drop the rows and report their number.
    label : str, optional
        Name of the outcome on plots and in the report, with its unit.
    unit : str, optional
        Unit of the outcome in sentences, such as "min" or "$" (a currency's sign is written before
        the number). Effects on shares (``bernoulli``) are written in percentage points.
    """

    column: ColumnName
    family: FamilyName = "gaussian"
    covariates: tuple[ColumnName, ...] = ()
    pre_period: ColumnName | None = None
    missing: Literal["error", "drop"] = "error"
    label: str | None = None
    unit: str | None = None

    @property
    def adjusted_for(self) -> tuple[str, ...]:
        """Columns of all covariates, the pre-period outcome first."""
        return (*((self.pre_period,) if self.pre_period else ()), *self.covariates)

    @property
    def has_link(self) -> bool:
        """Whether the linear predictor and the outcome's mean are on different scales."""
        return FAMILIES[self.family].has_link


class HeterogeneitySpec(Table):
    """What varies between clusters besides their intercepts.

    Parameters
    ----------
    slopes : tuple of {"direct", "spillover"}
        Effects that vary between clusters. Each varies around its mean with its own standard
        deviation, independently of the intercepts. Its regressor must vary within clusters.
    between_sd_by_arm : bool
        Whether treated and control clusters each have their own `between_sd`. If the effect differs
        between clusters, treated clusters vary more than control clusters.
    size_effects : bool
        Whether the clusters' level and the effects may depend on cluster size, linearly in its
        logarithm (the default). They do not if sizes hardly vary: if the standard deviation of
        their logarithms is below 0.1.
    """

    slopes: tuple[Literal["direct", "spillover"], ...] = ()
    between_sd_by_arm: bool = False
    size_effects: bool = True


class ReportSpec(Table):
    """Interval level, region of practical equivalence and decision rule.

    Parameters
    ----------
    estimand : {"user", "cluster"}
        Whom an effect is averaged over: all users (what a rollout gives per user), or all clusters,
        each counting once. They differ if the effect depends on cluster size.
    ci_prob : float
        Probability of every interval, confidence or credible (equal-tailed).
    rope : pair of float, optional
        Region of practical equivalence, in the outcome's unit: effects inside are too small to
        matter.
    threshold : float
        Smallest effect worth acting on, in the outcome's unit; negative if a decrease is the goal.
    direction : {"increase", "decrease"}
        Whether an effect must lie above the threshold, or below it, to be worth acting on.
    decision_prob : float
        Posterior probability of an effect beyond the threshold that a decision needs.
    role : {"goal", "guardrail", "debug"}
        What the metric is for in a scorecard: a goal can be a discovery, a guardrail must not be
        harmed, and a metric for debugging has no verdict.
    """

    estimand: Average = "user"
    ci_prob: float = Field(default=DEFAULT_CI_PROB, gt=0, lt=1)
    rope: tuple[float, float] | None = None
    threshold: float = 0.0
    direction: Literal["increase", "decrease"] = "increase"
    decision_prob: float = Field(default=0.95, gt=0.5, lt=1)
    role: Literal["goal", "guardrail", "debug"] = "goal"

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
    exposure : ExposureSpec or dict, optional
        How exposure follows from a collaboration graph; see :func:`bayescluster.expose`.
    heterogeneity : HeterogeneitySpec or dict
        What varies between clusters besides their intercepts.
    priors : PriorsSpec or dict
        Priors; each has a weakly informative default, which depends on the family.
    alternatives : dict of (dict of Prior)
        Named sets of alternative priors; each set replaces some of `priors`. The prior sensitivity
        analysis refits the model with each set.
    report : ReportSpec or dict
        Interval level, region of practical equivalence, decision threshold.
    title, question : str
        Title of the report, and the question that it answers.

    Raises
    ------
    SpecError
        If a key is unknown (the message lists the valid ones), a value is invalid or one column
        has two roles.

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
    exposure: ExposureSpec | None = None
    heterogeneity: HeterogeneitySpec = HeterogeneitySpec()
    priors: PriorsSpec = PriorsSpec()
    alternatives: dict[str, dict[str, Prior]] = Field(default_factory=dict)
    report: ReportSpec = ReportSpec()

    @model_validator(mode="before")
    @classmethod
    def _priors_of_the_family(cls, values: Any) -> Any:
        """Fill in the family's default for each prior that is not given."""
        outcome, priors = values.get("outcome"), values.get("priors", {})
        get = outcome.get if isinstance(outcome, dict) else partial(getattr, outcome)
        family = get("family", None)
        if isinstance(priors, PriorsSpec):
            priors = {name: getattr(priors, name) for name in priors.model_fields_set}
        if not isinstance(priors, dict):
            return values
        defaults = default_priors(family) if family in FAMILIES else PriorsSpec()
        return {**values, "priors": PriorsSpec(**(dict(defaults) | priors))}

    @model_validator(mode="after")
    def _alternatives_are_priors(self) -> Self:
        for name, priors in self.alternatives.items():
            try:
                PriorsSpec(**priors)
            except SpecError as error:
                raise ValueError(f"alternatives.{name}: {error}") from None
        return self

    @model_validator(mode="after")
    def _slopes_have_effects(self) -> Self:
        if len(set(self.heterogeneity.slopes)) < len(self.heterogeneity.slopes):
            raise ValueError(f"slopes names an effect twice: {list(self.heterogeneity.slopes)}")
        for name in self.heterogeneity.slopes:
            if name not in self.design.effects:
                raise ValueError(f"slopes names {name!r}, but the design has no such effect")
            if name == "direct" and self.design.level == "cluster":
                raise ValueError(
                    "slopes names 'direct', but whole clusters are treated: no cluster has both "
                    "treated and control units, so its effect is not identified; use "
                    "between_sd_by_arm"
                )
        if self.heterogeneity.between_sd_by_arm and self.design.level == "unit":
            raise ValueError("between_sd_by_arm needs whole clusters in each arm")
        return self

    @model_validator(mode="after")
    def _roles_fit_together(self) -> Self:
        roles = [
            *self.design.columns.items(),
            ("column", self.outcome.column),
        ]
        if self.outcome.pre_period is not None:
            roles.append(("pre_period", self.outcome.pre_period))
        roles += [("covariates", name) for name in self.outcome.covariates]
        seen: dict[str, str] = {}
        for role, column in roles:
            if column in seen:
                raise ValueError(f"column {column!r} is both {seen[column]} and {role}")
            seen[column] = role
        if unknown := set(self.design.balance) - set(self.outcome.adjusted_for):
            raise ValueError(
                f"design.balance names {sorted(unknown)}, which outcome.covariates "
                f"{list(self.outcome.adjusted_for)} does not: adjust for the balanced columns"
            )
        columns = [self.outcome.column, *self.outcome.adjusted_for]
        if taken := RESERVED_NAMES.intersection(columns):
            raise ValueError(
                f"column name {sorted(taken)} is one of the posterior's own names; rename the "
                "outcome or covariate"
            )
        if paths := [name for name in self.outcome.adjusted_for if "/" in name]:
            raise ValueError(
                f"covariate names {paths} have a '/', which the posterior cannot store; rename them"
            )
        if unknown := set(self.priors.covariates.by_name) - set(self.outcome.adjusted_for):
            raise ValueError(
                f"priors.covariates names {sorted(unknown)}, which outcome.covariates "
                f"{list(self.outcome.adjusted_for)} does not"
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal; it changes with any key.

        What older specifications do not have counts only if it is used: the [exposure] section,
        the column and the effects of sizes, the unit, and estimand and role other than the usual.
        So with `size_effects = false` a specification keeps the hash it had before these existed.
        """
        absent: dict[str, Any] = {"exposure": True} if self.exposure is None else {}
        if self.design.size is None:
            absent["design"] = {"size"}
        if not self.heterogeneity.size_effects:
            absent["heterogeneity"] = {"size_effects"}
            absent["priors"] = set(SIZE_TERMS)
        unused = {"estimand": "user", "role": "goal"}
        absent["report"] = {k for k, usual in unused.items() if getattr(self.report, k) == usual}
        if self.outcome.unit is None:
            absent["outcome"] = {"unit"}
        canonical = json.dumps(self.model_dump(mode="json", exclude=absent), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def unit(self) -> OutcomeUnit:
        """How effects are written: in the outcome's unit, without one if they are of logarithms."""
        if self.family.log_outcome:
            return OutcomeUnit()
        return OutcomeUnit(self.outcome.unit or "", self.outcome.family == "bernoulli")

    @property
    def family(self) -> Family:
        """The record of the outcome's family."""
        return FAMILIES[self.outcome.family]

    @property
    def model_hash(self) -> str:
        """Hash of what affects the posterior: design, outcome and priors, not the report."""
        apart: dict[str, Any] = {"title": "", "question": "", "alternatives": {}}
        apart |= {"report": ReportSpec(), "outcome": self.outcome.model_copy(update={"unit": None})}
        return self.model_copy(update=apart).hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def to_toml(self) -> str:
        """Return the specification as TOML; `from_toml` restores it without loss."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))

    @classmethod
    def from_toml(cls, text: str) -> ModelSpec:
        """Read a specification from TOML text.

        Raises
        ------
        SpecError
            If the text is not valid TOML or not a valid specification.
        """
        try:
            return cls(**tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"the specification is not valid TOML: {error}") from None

    def column_of(self, covariate: str) -> str:
        """Return the data column of a regressor; a category's regressor is "column[level]"."""
        columns = self.outcome.adjusted_for
        if covariate in columns:
            return covariate
        found = [column for column in columns if covariate.startswith(f"{column}[")]
        return max(found, key=len, default=covariate)

    def prior_of(self, covariate: str) -> Prior:
        """Return the prior of a covariate's slope; a category's regressor is "column[level]"."""
        return self.priors.covariates.by_name.get(self.column_of(covariate), self.priors.covariate)


def default_priors(family: str) -> PriorsSpec:
    """Return a family's default priors; for families with a link, on the link scale."""
    return PriorsSpec(**FAMILIES[family].default_priors)


def load_spec(path: str | Path) -> ModelSpec:
    """Read a model specification from a TOML file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    ModelSpec
        The specification.

    Raises
    ------
    SpecError
        If the file cannot be read or is not a valid specification; the message names the file.
    """
    try:
        return ModelSpec.from_toml(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from None
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
