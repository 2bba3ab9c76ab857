"""What designs and outcomes are refused, in which words, and what unusual ones are fitted."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc

ROLES = {"cluster": "team", "treatment": "treated"}
ROLLOUT = ROLES | {"level": "unit"}
SHARES = ROLLOUT | {"saturation": "share"}


def make_spec(design=ROLES, family="gaussian", slopes=(), **outcome):
    return bc.ModelSpec(
        design=design,
        outcome={"column": "y", "family": family} | outcome,
        heterogeneity={"slopes": slopes},
    )


def simulate(spec, n_clusters=8, cluster_size=6, seed=1, **options):
    synthetic = bc.simulate.SyntheticExperiment(spec, n_clusters, cluster_size, **options)
    return synthetic.simulate(seed)


def put(column, value, rows=slice(0, 3)):
    """Return a fault: `value` in some rows of a column."""

    def fault(frame):
        changed = frame.astype({column: object if isinstance(value, str | None) else float})
        changed.loc[changed.index[rows], column] = value
        return changed

    return fault


def every(**columns):
    """Return a fault: whole columns, each a value or a function of the frame."""
    return lambda frame: frame.assign(**columns)


def levels(count):
    return lambda frame: np.array([f"level {i:02d}" for i in range(count)])[np.arange(48) % count]


EXPOSED = ROLES | {"spillover": "exposed"}
PLAN = {"covariates": ["plan"]}
FAULTS = {
    "bernoulli: an outcome of 2": (
        make_spec(family="bernoulli"),
        put("y", 2.0),
        bc.errors.OutcomeError,
        r"column 'y' \(outcome, bernoulli\) is neither 0 nor 1 in 3 of 48 rows of 1 clusters, "
        r"such as 0; code the outcome as 0 and 1",
    ),
    "bernoulli: a share": (
        make_spec(family="bernoulli"),
        put("y", 0.5, slice(5, 7)),
        bc.errors.OutcomeError,
        r"neither 0 nor 1 in 2 of 48 rows of 2 clusters, such as 0, 1; code",
    ),
    "bernoulli: text": (
        make_spec(family="bernoulli"),
        every(y="yes"),
        bc.errors.ColumnTypeError,
        r"column 'y' \(outcome\) holds string, not numbers; convert it to numbers",
    ),
    "bernoulli: null": (
        make_spec(family="bernoulli"),
        put("y", np.nan),
        bc.errors.MissingValueError,
        r"column 'y' \(outcome\) is null or NaN in 3 of 48 rows",
    ),
    "bernoulli: nobody": (
        make_spec(family="bernoulli"),
        every(y=0),
        bc.errors.IdentificationError,
        r"column 'y' \(outcome\) has one value in all 48 rows: there is nothing to estimate$",
    ),
    "bernoulli: everybody": (
        make_spec(family="bernoulli"),
        every(y=True),
        bc.errors.IdentificationError,
        r"column 'y' \(outcome\) has one value in all 48 rows: there is nothing to estimate$",
    ),
    "poisson: nothing counted": (
        make_spec(family="poisson"),
        every(y=0),
        bc.errors.IdentificationError,
        r"column 'y' \(outcome\) has one value in all 48 rows: there is nothing to estimate$",
    ),
    "poisson: negative": (
        make_spec(family="poisson"),
        put("y", -1.0),
        bc.errors.OutcomeError,
        r"column 'y' \(outcome, poisson\) is not a whole number from 0 to 1e15 in 3 of 48 rows of "
        r"1 clusters, such as 0; use counts, or the gaussian family, which takes any number",
    ),
    "negative binomial: fractional": (
        make_spec(family="negative_binomial"),
        put("y", 1.5, slice(0, 30)),
        bc.errors.OutcomeError,
        r"\(outcome, negative_binomial\) is not a whole number from 0 to 1e15 in 30 of 48 rows of "
        r"5 clusters, such as 0, 1, 2, \.\.\.; use counts",
    ),
    "poisson: infinite": (
        make_spec(family="poisson"),
        put("y", np.inf),
        bc.errors.MissingValueError,
        r"column 'y' \(outcome\) is infinite in 3 of 48 rows",
    ),
    "lognormal: zero": (
        make_spec(family="lognormal"),
        put("y", 0.0),
        bc.errors.OutcomeError,
        r"column 'y' \(outcome, lognormal\) is not positive in 3 of 48 rows of 1 clusters, such "
        r"as 0; model zeros separately \(bernoulli: any or none\), or use gaussian or student_t",
    ),
    "lognormal: negative, even where missing values may be dropped": (
        make_spec(family="lognormal", missing="drop"),
        put("y", -2.0),
        bc.errors.OutcomeError,
        r"is not positive in 3 of 48 rows",
    ),
    "lognormal: null": (
        make_spec(family="lognormal"),
        put("y", np.nan),
        bc.errors.MissingValueError,
        r"column 'y' \(outcome\) is null or NaN in 3 of 48 rows",
    ),
    "lognormal: infinite": (
        make_spec(family="lognormal"),
        put("y", np.inf),
        bc.errors.MissingValueError,
        r"column 'y' \(outcome\) is infinite in 3 of 48 rows",
    ),
    "saturation: one share": (
        make_spec(SHARES),
        every(share=0.5),
        bc.errors.IdentificationError,
        r"column 'share' \(saturation\) is 0.5 in every cluster: all untreated teammates then "
        r"have the same exposure, .*; leave saturation out, or add clusters with other shares",
    ),
    "saturation: varies in a cluster": (
        make_spec(SHARES),
        put("share", 0.9, slice(7, 9)),
        bc.errors.SpilloverError,
        r"column 'share' \(saturation\) varies within 1 of 8 clusters, such as 1; it is the share "
        r"of the cluster that was assigned to treatment",
    ),
    "saturation: percent": (
        make_spec(SHARES),
        every(share=lambda frame: frame["share"] * 100),
        bc.errors.SpilloverError,
        r"column 'share' \(saturation\) lies outside \[0, 1\] in 30 of 48 rows; give it as 0 or 1",
    ),
    "saturation: 0 where units are treated": (
        make_spec(SHARES),
        every(treated=lambda frame: np.where(frame.index < 2, 1, frame["treated"])),
        bc.errors.SpilloverError,
        r"column 'share' \(saturation\) is 0 in 2 treated rows of 1 clusters, such as 0; give the "
        r"share assigned to treatment there",
    ),
    "saturation: null": (
        make_spec(SHARES, missing="drop"),
        put("share", np.nan),
        bc.errors.MissingValueError,
        r"column 'share' \(saturation\) is null or NaN in 3 of 48 rows; an untreated cluster has 0",
    ),
    "partial rollout: whole clusters were treated": (
        make_spec(ROLLOUT),
        every(treated=lambda frame: frame["team"] % 2),
        bc.errors.DesignError,
        r"column 'treated' \(treatment\) is constant within each of 8 clusters: nothing was rolled "
        r"out in part; leave out level = 'unit'",
    ),
    "whole clusters: treated in part": (
        make_spec(),
        put("treated", 1.0, slice(0, 48, 5)),
        bc.errors.TreatmentError,
        r"varies within \d of 8 clusters, such as .*or say level = 'unit' where single units",
    ),
    "interaction: no treated unit is exposed": (
        make_spec(EXPOSED | {"interaction": True}),
        every(exposed=lambda frame: np.where(frame["treated"] == 1, 0.0, frame["exposed"])),
        bc.errors.IdentificationError,
        r"no treated unit is exposed by column 'exposed': the interaction of treatment and "
        r"spillover is not identified; leave out interaction = true",
    ),
    "interaction: no control unit is exposed": (
        make_spec(EXPOSED | {"interaction": True}),
        every(exposed=lambda frame: np.where(frame["treated"] == 0, 0.0, frame["exposed"])),
        bc.errors.IdentificationError,
        r"'spillover', 'interaction' are collinear",
    ),
    "no interaction: a treated unit is exposed": (
        make_spec(EXPOSED),
        every(exposed=lambda frame: np.where(frame["treated"] == 1, 0.5, frame["exposed"])),
        bc.errors.SpilloverError,
        r"column 'exposed' \(spillover\) is not 0 in 24 treated rows of 4 clusters, such as .*or "
        r"say interaction = true",
    ),
    "category: one level": (
        make_spec(**PLAN),
        every(plan="free"),
        bc.errors.IdentificationError,
        r"column 'plan' \(covariate\) has one value in all rows that have one: there is nothing "
        r"to estimate; leave it out of the specification",
    ),
    "category: 21 levels": (
        make_spec(**PLAN),
        every(plan=levels(21)),
        bc.errors.ColumnTypeError,
        r"column 'plan' \(covariate\) has more than 20 categories, such as 'level 00', 'level 01', "
        r"'level 02', \.\.\.; merge rare ones, or convert the column to numbers",
    ),
    "category: null": (
        make_spec(**PLAN),
        put("plan", None),
        bc.errors.MissingValueError,
        r"column 'plan' \(covariate\) is null or NaN in 3 of 48 rows; .*missing = 'drop'",
    ),
    "category: a level that only dropped rows have": (
        make_spec(**PLAN, missing="drop"),
        lambda frame: put("y", np.nan)(put("plan", "team")(frame.assign(plan="free"))),
        bc.errors.IdentificationError,
        r"category 'plan\[team\]' of column 'plan' \(covariate\) is that of none or of all of the "
        r"45 rows without missing values: .*; merge it with another category",
    ),
    "covariate: dates": (
        make_spec(covariates=["since"]),
        every(since=pd.Timestamp("2026-01-01")),
        bc.errors.ColumnTypeError,
        r"column 'since' \(covariate\) holds timestamp.*, not numbers; convert it to numbers",
    ),
    "covariate: constant": (
        make_spec(covariates=["age"]),
        every(age=4),
        bc.errors.IdentificationError,
        r"column 'age' \(regressor\) has one value in all 48 rows: there is nothing to estimate; "
        r"leave it out of the specification",
    ),
    "covariate: the treatment again": (
        make_spec(covariates=["age"]),
        every(age=lambda frame: 2 - 3 * frame["treated"]),
        bc.errors.IdentificationError,
        r"'direct', 'age' are collinear",
    ),
    "slopes: exposure of whole clusters": (
        make_spec(EXPOSED, slopes=["spillover"]),
        every(exposed=lambda frame: (frame["team"] % 3 == 0) * (1.0 - frame["treated"])),
        bc.errors.IdentificationError,
        r"the effect 'spillover' cannot vary between clusters: it varies within 0 of 8 clusters; "
        r"leave it out of heterogeneity.slopes",
    ),
    "poisson: a count that float64 does not hold": (
        make_spec(family="poisson"),
        put("y", 1e200),
        bc.errors.OutcomeError,
        r"not a whole number from 0 to 1e15 in 3 of 48 rows",
    ),
    "gaussian: values too large to square": (
        make_spec(),
        put("y", 1e200),
        bc.errors.DataError,
        r"column 'y' holds values too large to square .*in another unit",
    ),
    "category: another column has its name": (
        make_spec(covariates=["plan", "plan[pro]"]),
        every(**{"plan[pro]": lambda frame: np.arange(48.0)}),
        bc.errors.ColumnTypeError,
        r"column 'plan\[pro\]' has the name that a category of column 'plan'.* would get",
    ),
    "slopes: a rollout to parts of one cluster": (
        make_spec(ROLLOUT, slopes=["direct"]),
        every(
            treated=lambda frame: np.where(
                frame["team"] == 0, [0, 1, 0, 1, 0, 1] * 8, frame["team"] % 2
            )
        ),
        bc.errors.IdentificationError,
        r"the effect 'direct' cannot vary between clusters: it varies within 1 of 8 clusters",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_with_column_and_count(fault):
    spec, breaks, error, message = FAULTS[fault]
    frame = breaks(simulate(spec, categories={"plan": ("free", "pro")}))
    with pytest.raises(error, match=message) as caught:
        bc.Experiment(frame, spec)
    assert type(caught.value) is error


def normal(**changes):
    return {"distribution": "normal", "mu": 0, "sigma": 1} | changes


HALF = {"distribution": "half_normal", "sigma": 1}
BAD_SPECS = [
    (
        {"heterogeneity": {"slopes": ["direct"]}},
        r"slopes names 'direct', but whole clusters are treated: .*use between_sd_by_arm",
    ),
    (
        {"heterogeneity": {"slopes": ["spillover"]}},
        r"slopes names 'spillover', but the design has no such effect",
    ),
    (
        {
            "design": ROLES | {"spillover": "exposed"},
            "heterogeneity": {"slopes": ["spillover", "spillover"]},
        },
        r"slopes names an effect twice: \['spillover', 'spillover'\]",
    ),
    ({"heterogeneity": {"slopes": ["interaction"]}}, r"Input should be 'direct' or 'spillover'"),
    (
        {"design": SHARES | {"level": "cluster"}},
        r"saturation describes a partial rollout: it needs level = 'unit'",
    ),
    (
        {"design": ROLLOUT, "heterogeneity": {"between_sd_by_arm": True}},
        r"between_sd_by_arm needs whole clusters in each arm",
    ),
    (
        {"design": ROLLOUT | {"mechanism": "complete"}},
        r"mechanism says how whole clusters were assigned; with level = 'unit' leave it out",
    ),
    ({"design": ROLES | {"interaction": True}}, r"interaction needs a spillover column"),
    ({"design": SHARES | {"saturation": "team"}}, r"column 'team' is both cluster and saturation"),
    (
        {"outcome": {"column": "y", "pre_period": "before", "covariates": ["before"]}},
        r"column 'before' is both pre_period and covariates",
    ),
    (
        {"outcome": {"column": "y", "pre_period": "y"}},
        r"column 'y' is both column and pre_period",
    ),
    (
        {"outcome": {"column": "y", "covariates": ["a", "a"]}},
        r"column 'a' is both covariates and covariates",
    ),
    ({"outcome": {"column": "y", "family": "binomial"}}, r"family: unknown family 'binomial'"),
    ({"priors": {"overdispersion": normal()}}, r"overdispersion takes one of half_normal"),
    ({"priors": {"direct_sd": normal()}}, r"direct_sd takes one of half_normal"),
    ({"priors": {"interaction": HALF}}, r"interaction takes one of normal, student_t, not half"),
    (
        {"priors": {"degrees_of_freedom": {"distribution": "exponential", "mean": 2}}},
        r"degrees_of_freedom does not scale with the outcome: set unit = 'outcome'",
    ),
    ({"priors": {"stratum_effect": normal(mu=1)}}, r"stratum_effect takes a normal prior with mu"),
    (
        {"priors": {"stratum_effect": normal() | {"distribution": "student_t", "nu": 3}}},
        r"stratum_effect takes a normal prior with mu = 0",
    ),
    (
        {"alternatives": {"sceptical": {"direct": HALF}}},
        r"alternatives.sceptical: direct takes one of normal, student_t, not half_normal",
    ),
    (
        {"alternatives": {"wide": {"drect": normal()}}},
        r"alternatives.wide: unknown key 'drect' \(did you mean 'direct'\?\)",
    ),
    (
        {"alternatives": {"wide": {"direct": {"distribution": "normal", "mu": 0}}}},
        r"takes exactly mu, sigma; given: mu",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SPECS)
def test_designs_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(bc.errors.SpecError, match=message):
        bc.ModelSpec(**({"design": ROLES, "outcome": {"column": "y"}} | changes))


RESERVED = ["interaction", "within_spillover", "direct_sd", "overdispersion", "units", "arm"]
RESERVED += ["cluster_level", "spillover_of_cluster", "degrees_of_freedom", "stratum_effect"]


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names_are_refused(name):
    for outcome in ({"column": name}, {"column": "y", "covariates": [name]}):
        with pytest.raises(
            bc.errors.SpecError, match=rf"\['{name}'\] is one of the posterior's own"
        ):
            bc.ModelSpec(design=ROLES, outcome=outcome)
    other = {"column": "y", "pre_period": name}
    with pytest.raises(bc.errors.SpecError, match="posterior's own names"):
        bc.ModelSpec(design=ROLES, outcome=other)


FULL_DESIGNS = [
    make_spec(ROLES | {"spillover": "e", "interaction": True, "strata": "s"}, "student_t"),
    make_spec(ROLLOUT | {"spillover": "e"}, "negative_binomial", ["direct", "spillover"]),
    make_spec(SHARES, "bernoulli"),
]


@pytest.mark.parametrize("spec", FULL_DESIGNS, ids=lambda spec: spec.outcome.family)
@pytest.mark.parametrize("informed", [True, False])
def test_every_name_of_a_model_is_reserved(spec, informed, monkeypatch):
    from bayescluster.bayes.cells import cell_models
    from bayescluster.spec.model_spec import RESERVED_NAMES

    monkeypatch.setattr(cell_models, "is_informative", lambda data: informed)
    model = bc.build_model(bc.Experiment(simulate(spec, exposed_share=0.5), spec))
    names = {*model.named_vars, *model.coords} - RESERVED_NAMES
    assert names <= {value.name for value in model.value_vars}


def test_rows_with_null_categories_are_dropped_where_asked():
    spec = make_spec(family="poisson", **PLAN, missing="drop")
    frame = put("plan", None)(simulate(spec, categories={"plan": ("free", "pro")}))
    exp = bc.Experiment(frame, spec)
    assert (exp.n_units, exp.n_dropped, exp.cells().n_units) == (45, 3, 45)
    assert len(exp.covariates) == 1


def test_categories_of_pandas_are_text():
    spec = make_spec(**PLAN)
    frame = simulate(spec, categories={"plan": ("free", "pro", "team")})
    text = bc.Experiment(frame, spec)
    category = bc.Experiment(frame.astype({"plan": "category"}), spec)
    assert category.moments().names == text.moments().names
    assert category.fingerprint == text.fingerprint


def test_brackets_in_a_columns_name_are_part_of_it():
    names = ["score[0]", "score[1]", "plan"]
    priors = {"covariates": {"score[1]": normal(sigma=3), "plan": normal(sigma=2)}}
    spec = bc.ModelSpec(design=ROLES, outcome={"column": "y", "covariates": names}, priors=priors)
    exp = bc.Experiment(simulate(spec, categories={"plan": ("free", "pro")}), spec)
    assert exp.covariates[:2] == ("score[0]", "score[1]")
    assert [spec.column_of(name) for name in exp.covariates] == names
    assert [spec.prior_of(name).sigma for name in exp.covariates] == [2.5, 3, 2]
    again = bc.Experiment.from_moments(exp.moments(), spec)
    assert again.fingerprint == exp.fingerprint
    assert set(names[:2]) < set(bc.bayes.exact_posteriors([exp])["parameter"])


def test_twenty_levels_are_allowed():
    spec = make_spec(**PLAN)
    frame = simulate(spec, cluster_size=12, categories={"plan": ("free", "pro")})
    frame["plan"] = [f"level {i % 20:02d}" for i in np.random.default_rng(1).permutation(96)]
    assert len(bc.Experiment(frame, spec).covariates) == 19


def test_a_rollout_in_part_has_no_assignment_of_clusters():
    spec = make_spec(SHARES)
    exp = bc.Experiment(simulate(spec), spec)
    with pytest.raises(bc.errors.DesignError, match="single units of a cluster were treated"):
        _ = exp.mechanism
    again = bc.Experiment.from_moments(exp.moments(), spec)
    assert np.array_equal(again.treated, exp.treated)


def test_moments_of_a_rollout_are_checked():
    spec = make_spec(SHARES)
    m = bc.Experiment(simulate(spec), spec).moments()
    changed = m.mean.copy()
    changed[:, 1] += 1.0
    wrong = bc.ClusterMoments(
        m.clusters, m.n, changed, m.cross, m.origin, m.names, outcome=m.outcome
    )
    with pytest.raises(bc.errors.SpilloverError, match="'within_spillover' lies outside"):
        bc.Experiment.from_moments(wrong, spec)
