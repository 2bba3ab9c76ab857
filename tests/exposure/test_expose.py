"""From edges and users to an experiment: columns, conditions, refusals, and what they mend."""

import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

import bayescluster as bc
from bayescluster.cli import app
from bayescluster.data.conditions import GRAPH_CONDITIONS
from bayescluster.exposure.collaborators import Collaborators

SCENARIO = bc.simulate.GraphScenario(n_clusters=12, cluster_size=20)


@pytest.fixture(scope="module")
def tables():
    return SCENARIO.simulate(seed=3)


@pytest.fixture(scope="module")
def exposure(tables):
    return bc.expose(*tables, SCENARIO.spec)


def by_hand(edges, users):
    """Count each user's treated collaborators of other workspaces by plain loops."""
    workspace = users["workspace"].to_numpy()
    treated = users["treated"].to_numpy()
    friends = {user: set() for user in users["user"]}
    for one, other in edges.to_numpy():
        if one != other:
            friends[one].add(other)
            friends[other].add(one)
    return np.array(
        [sum(treated[f] for f in friends[u] if workspace[f] != workspace[u]) for u in users["user"]]
    )


def test_columns_by_hand(tables, exposure):
    edges, users = tables
    exposed = by_hand(edges, users) > 0
    treated = users["treated"].to_numpy() == 1
    data = exposure.data
    np.testing.assert_array_equal(data["spillover"], exposed & ~treated)
    named = np.select(
        [treated & exposed, treated, exposed],
        ["direct_with_exposure", "direct", "spillover"],
        "pure_control",
    )
    np.testing.assert_array_equal(data["exposure_condition"], named)
    # complete assignment of 6 of 12: C(11 - s, 6) / C(12, 6) controls touch no treated one of s
    touched = exposure.collaborators.n_touched
    from scipy.special import comb

    pure = comb(11 - touched, 6) / comb(12, 6)
    np.testing.assert_allclose(data["expected_exposure"], 0.5 - pure, atol=1e-12)
    arm = np.where(treated, 0.5, np.where(exposed, 0.5 - pure, pure))
    np.testing.assert_allclose(data["exposure_probability"], arm, atol=1e-12)


def test_the_callers_tables_stay_as_they_are_and_keep_their_order(tables):
    edges, users = (table.copy() for table in tables)
    shuffled = users.sample(frac=1, random_state=1)
    data = bc.expose(edges, shuffled, SCENARIO.spec).data
    pd.testing.assert_frame_equal(edges, tables[0])
    pd.testing.assert_frame_equal(shuffled.sort_index(), tables[1])
    pd.testing.assert_index_equal(data.index, shuffled.index)
    pd.testing.assert_frame_equal(data[users.columns], shuffled)


@pytest.mark.parametrize("kind", ["polars", "arrow", "parquet", "csv"])
def test_any_source_gives_the_same_experiment(kind, tables, exposure, tmp_path):
    users = tables[1]
    read = {"polars": pl.from_pandas, "arrow": lambda t: pl.from_pandas(t).to_arrow()}
    if kind in read:
        sources = [read[kind](table) for table in tables]
    else:
        sources = [str(tmp_path / f"{name}.{kind}") for name in ("edges", "users")]
        for table, path in zip(tables, sources, strict=True):
            table.to_parquet(path) if kind == "parquet" else table.to_csv(path, index=False)
    exp = bc.expose(*sources, SCENARIO.spec).experiment()
    assert exp.fingerprint == exposure.experiment().fingerprint
    np.testing.assert_allclose(exp.outcomes(), users["outcome"])


def test_the_experiment_is_that_of_the_table(exposure):
    """Least squares through the experiment equals NumPy's on the rows."""
    exp = exposure.experiment()
    data = exposure.data
    x = np.column_stack(
        [np.ones(len(data)), data[["treated", "spillover", "expected_exposure"]]]
    ).astype(float)
    beta = np.linalg.lstsq(x, data["outcome"], rcond=None)[0]
    np.testing.assert_allclose(bc.frequentist.recentred_ols(exp).estimate, beta, rtol=1e-9)
    plain = np.linalg.lstsq(x[:, :3], data["outcome"], rcond=None)[0]
    from bayescluster.frequentist.graph_estimators import unadjusted_ols

    np.testing.assert_allclose(unadjusted_ols(exp).estimate, plain, rtol=1e-9)
    weights = 1 / data["exposure_probability"].to_numpy()
    arms = exposure.arms
    used = np.min([p for _, p in arms.values()], axis=0) >= 0.01
    root = np.sqrt(weights[used])[:, None]
    weighted = np.linalg.lstsq(
        root * x[used, :3], root[:, 0] * data["outcome"].to_numpy()[used], rcond=None
    )[0]
    np.testing.assert_allclose(
        bc.frequentist.exposure_weighted_ols(exp).estimate, weighted, rtol=1e-9
    )
    assert exp.mechanism is exposure.mechanism


def test_interaction_makes_four_conditions(tables):
    design = SCENARIO.spec.design.model_copy(update={"interaction": True})
    spec = SCENARIO.spec.model_copy(update={"design": design})
    found = bc.expose(*tables, spec)
    np.testing.assert_array_equal(found.spillover, found.value)
    np.testing.assert_allclose(found.expected, found.probabilities.expected.sum(axis=1))
    assert tuple(found.arms) == GRAPH_CONDITIONS
    terms = bc.two_exposure(found.experiment()).terms
    assert {"direct", "spillover", "interaction"} <= set(terms)
    assert bc.frequentist.hajek(found.experiment()).terms == (
        "direct",
        "spillover",
        "direct_with_exposure",
    )


def test_partial_rollout_by_users():
    """Users are the units of assignment: teammates expose within, others outside."""
    edges, users = SCENARIO.simulate(3)
    rng = np.random.default_rng(0)
    users["treated"] = rng.permutation(np.arange(len(users)) % 2)
    design = SCENARIO.spec.design.model_copy(update={"level": "unit"})
    options = bc.spec.ExposureSpec(mapping="within_share")
    spec = SCENARIO.spec.model_copy(update={"design": design, "exposure": options})
    found = bc.expose(edges, users, spec)
    workspace, treated = users["workspace"].to_numpy(), users["treated"].to_numpy()
    weight = np.zeros((len(users), len(users)))
    for one, other in edges.to_numpy():
        weight[one, other] += 1
        weight[other, one] += 1
    weight *= workspace[:, None] == workspace[None, :]
    share = weight @ treated / np.maximum(weight.sum(axis=1), 1)
    np.testing.assert_allclose(found.value, share, atol=1e-12)
    # each workspace treats a fixed number m of its 20: a teammate is treated with chance
    # m / 19 given an untreated user
    m = np.bincount(workspace, treated)[workspace]
    chance = (20 - m) / 20 * m / 19 * (weight.sum(axis=1) > 0)
    np.testing.assert_allclose(found.expected, chance, atol=1e-12)
    assert found.collaborators.by_user


def test_strata_and_other_mechanisms(tables):
    edges, users = tables
    treated = users.groupby("workspace")["treated"].first()
    order = treated.sort_values(kind="stable").index
    pair = pd.Series(np.r_[np.arange(6), np.arange(6)], index=order)
    users = users.assign(pair=users["workspace"].map(pair))
    design = SCENARIO.spec.design.model_copy(update={"strata": "pair"})
    spec = SCENARIO.spec.model_copy(update={"design": design})
    found = bc.expose(edges, users, spec)
    assert found.mechanism.n_assignments == 2**6
    same = bc.exposure.exposure_probabilities(
        found.collaborators, found.mapping, found.mechanism, method="enumeration"
    )
    np.testing.assert_allclose(found.probabilities.condition, same.condition, atol=1e-12)
    coins = spec.model_copy(
        update={"design": SCENARIO.spec.design.model_copy(update={"mechanism": "bernoulli"})}
    )
    assert isinstance(bc.expose(edges, users, coins).mechanism, bc.assignment.Bernoulli)
    redrawn = bc.spec.DesignSpec(
        **{
            **SCENARIO.spec.design.model_dump(),
            "mechanism": "rerandomised",
            "balance": ("expected_exposure",),
            "max_distance": 1.0,
        }
    )
    with pytest.raises(bc.errors.DesignError, match="pass the object"):
        bc.expose(edges, users, spec.model_copy(update={"design": redrawn}))


def test_a_users_own_mapping(tables):
    def half(collaborators: Collaborators, treated):
        return np.where(treated[collaborators.unit], 0.0, 0.5)

    mapping = bc.exposure.CustomMapping(half, is_dose=True, words="half of everybody")
    found = bc.expose(*tables, SCENARIO.spec, mapping=mapping)
    np.testing.assert_allclose(found.expected, 0.25)
    assert found.probabilities.method == "enumeration"
    with pytest.raises(
        bc.errors.DesignError, match="240 of 240 users an exposure that is not 0 or 1"
    ):
        bc.expose(
            *tables,
            SCENARIO.spec,
            mapping=bc.exposure.CustomMapping(lambda t, z: np.full(240, 0.5)),
        )
    with pytest.raises(bc.errors.DesignError, match=r"shape \(3,\)"):
        bc.expose(
            *tables, SCENARIO.spec, mapping=bc.exposure.CustomMapping(lambda t, z: np.ones(3))
        )


def test_missing_outcomes_are_left_out_of_contrasts(tables):
    edges, users = tables[0], tables[1].copy()
    users.loc[::7, "outcome"] = np.nan
    outcome = SCENARIO.spec.outcome.model_copy(update={"missing": "drop"})
    spec = SCENARIO.spec.model_copy(update={"outcome": outcome})
    exp = bc.expose(edges, users, spec).experiment()
    y = exp.outcomes()
    assert np.isnan(y).sum() == users["outcome"].isna().sum() == exp.n_dropped
    found = bc.frequentist.hajek(exp)
    assert (found.n_users + found.n_apart == np.isfinite(y).sum()).all()


def test_positivity_by_hand(exposure):
    report = exposure.positivity
    p = exposure.probabilities.of("spillover")
    table = report.conditions.set_index("condition")
    assert table.loc["spillover", "never"] == (p == 0).sum()
    inside = exposure.condition == GRAPH_CONDITIONS.index("spillover")
    weight = 1 / p[inside]
    assert table.loc["spillover", "effective"] == pytest.approx(
        weight.sum() ** 2 / (weight**2).sum()
    )
    assert report.by_degree["users"].sum() == 240
    ties = report.contamination
    t = exposure.collaborators
    control = ~exposure.treated
    cross = sum(
        int(c)
        for u, o, c in zip(t.user, t.other, t.count, strict=True)
        if o != t.unit[u] and exposure.assignment[o] and control[u]
    )
    assert ties["ties"].sum() == cross
    assert (ties["source"] != ties["target"]).all()
    assert report.plot().axes


def test_spillover_by_chance_is_not_confused_with_degree():
    """Over 60 experiments recentring is unbiased, and exposure as it comes is not."""
    scenario = bc.simulate.GraphScenario(n_clusters=24, cluster_size=30, degree_effect=0.6)
    from bayescluster.frequentist.graph_estimators import unadjusted_ols

    found = []
    for seed in range(60):
        exp = bc.expose(*scenario.simulate(seed), scenario.spec).experiment()
        both = [fit(exp) for fit in (bc.frequentist.recentred_ols, unadjusted_ols)]
        found.append([fit.estimate[fit.terms.index("spillover")] for fit in both])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    bias = np.mean(found, axis=0) - scenario.spillover
    assert abs(bias[0]) < 3.5 * error[0]
    assert bias[1] > 10 * error[1]


def test_compare_shows_every_method_and_where_they_disagree(exposure):
    exp = exposure.experiment()
    tree = bc.fit_exact(exp, draws=2_000)
    found = bc.compare(exp, tree, bootstrap_draws=500)
    methods = set(found.estimates["method"])
    assert {
        "two-exposure OLS without expected exposure, CR2",
        "recentred OLS, CR2",
        "exposure-weighted OLS, CR2",
        "Hajek (Aronow-Samii)",
        "Horvitz-Thompson (Aronow-Samii)",
        "conditional randomisation test (focal users)",
    } <= methods
    assert not found.skipped
    rows = bc.diagnose(found).set_index("check")["value"]
    contrast = bc.frequentist.hajek(exp)
    assert (contrast.n_apart > 0).any()
    for term, n, apart in zip(contrast.terms, contrast.n_users, contrast.n_apart, strict=True):
        told = rows[f"users in the weighted contrast: {term}"]
        assert told.startswith(f"{n} of 240; {apart} left out")


def test_refusals(tables, exposure):
    edges, users = tables
    spec = SCENARIO.spec
    bare = bc.ModelSpec(design=spec.design, outcome={"column": "outcome"})
    with pytest.raises(bc.errors.SpecError, match=r"no section \[exposure\]"):
        bc.expose(edges, users, bare)
    without = bc.ModelSpec(
        design={"cluster": "workspace", "treatment": "treated"},
        outcome={"column": "outcome"},
        exposure={},
    )
    with pytest.raises(bc.errors.SpecError, match=r"design\.unit"):
        bc.expose(edges, users, without)
    other = spec.model_copy(update={"design": spec.design.model_copy(update={"interaction": True})})
    with pytest.raises(bc.errors.SpecError, match="differs from the one"):
        bc.Experiment(exposure, other)
    with pytest.raises(bc.errors.DataError, match="no collaboration graph"):
        bc.frequentist.hajek(bc.Experiment(exposure.data, spec))
    with pytest.raises(bc.errors.DesignError, match="assigns 10 units, the graph has 12"):
        bc.expose(edges, users, spec, mechanism=bc.assignment.Complete(10, 5))


@pytest.mark.parametrize("name", ["outcome", "treated", "workspace", "user", "spillover"])
def test_the_column_made_is_no_other_role(tables, name):
    spec = bc.ModelSpec(
        design=SCENARIO.spec.design, outcome={"column": "outcome"}, exposure={"expected": name}
    )
    with pytest.raises(bc.errors.SpecError, match=f"column '{name}' is .* exposure makes a column"):
        bc.expose(*tables, spec)


def test_no_role_is_a_column_that_exposure_makes(tables):
    outcome = {"column": "outcome", "covariates": ("exposure_condition",)}
    spec = bc.ModelSpec(design=SCENARIO.spec.design, outcome=outcome, exposure={})
    with pytest.raises(bc.errors.SpecError, match="'exposure_condition' is covariates"):
        bc.expose(*tables, spec)


def test_another_outcome_keeps_the_exposure(tables):
    edges, users = tables
    exposure = bc.expose(edges, users.assign(second=users["outcome"] * 2), SCENARIO.spec)
    design = SCENARIO.spec.design
    second = bc.ModelSpec(design=design, outcome={"column": "second"})
    first = bc.frequentist.recentred_ols(exposure.experiment())
    np.testing.assert_allclose(
        bc.frequentist.recentred_ols(exposure.experiment(second)).estimate, 2 * first.estimate
    )
    other = bc.ModelSpec(
        design=design, outcome={"column": "second"}, exposure={"mapping": "at_least", "k": 2}
    )
    with pytest.raises(bc.errors.SpecError, match=r"section \[exposure\] differs"):
        exposure.experiment(other)


def test_a_dose_has_no_contrast_beside_effects_per_unit(tables):
    spec = SCENARIO.spec.model_copy(update={"exposure": bc.spec.ExposureSpec(mapping="share")})
    exp = bc.expose(*tables, spec).experiment()
    with pytest.raises(bc.errors.DesignError, match="exposure is a dose"):
        bc.frequentist.exposure_weighted_ols(exp)
    found = bc.compare(exp, bc.fit_exact(exp, draws=500), bootstrap_draws=50)
    rows = found.estimates[found.estimates["method"].str.contains("Hajek|Horvitz")]
    assert rows["term"].tolist() == ["direct", "direct"]
    assert {
        "exposure-weighted OLS",
        "Hajek contrast of spillover",
        "Horvitz-Thompson contrast of spillover",
    } <= {one.label for one in found.skipped}


def test_never_is_said_of_the_drawn_assignments_only(tables, exposure):
    drawn = bc.expose(*tables, SCENARIO.spec, method="simulation", draws=50)
    for made, seen in ((drawn, True), (exposure, False)):
        figures = made.positivity.checks.set_index("check")["value"]
        told = "in 50 drawn assignments" in figures["users who can never be exposed"]
        assert told == seen


def test_ids_are_uuids(tables, exposure):
    edges, users = tables
    named = [uuid.UUID(int=(u * 7919) % 100_003 + 1) for u in range(len(users))]
    coded = edges.map(lambda u: named[u])
    data = bc.expose(coded, users.assign(user=[named[u] for u in users["user"]]), SCENARIO.spec)
    pd.testing.assert_frame_equal(
        data.data.drop(columns="user"), exposure.data.drop(columns="user"), check_exact=False
    )


@pytest.mark.parametrize("table", [pd.DataFrame, pl.from_pandas])
def test_users_whom_the_graph_lacks_are_refused(tables, exposure, table):
    users = tables[1]
    same = exposure.for_users(table(users), SCENARIO.spec).experiment()
    assert same.fingerprint == exposure.experiment().fingerprint
    with pytest.raises(
        bc.errors.DataError, match=r"3 of 240 users of column 'user', such as \S*24"
    ):
        _ = exposure.for_users(table(users.assign(user=users["user"] + 3)), SCENARIO.spec).data


@pytest.mark.parametrize("level", ["cluster", "unit"])
@pytest.mark.parametrize("arm", [0, 1])
def test_one_arm_is_refused(tables, level, arm):
    edges, users = tables
    design = SCENARIO.spec.design.model_copy(update={"level": level})
    spec = SCENARIO.spec.model_copy(update={"design": design})
    with pytest.raises(
        bc.errors.DesignError, match=f"'treated' .treatment. is {arm} in all [0-9]+ "
    ):
        bc.expose(edges, users.assign(treated=arm), spec)


def test_two_mechanisms_are_refused(tables):
    design = SCENARIO.spec.design.model_copy(update={"mechanism": "bernoulli"})
    spec = SCENARIO.spec.model_copy(update={"design": design})
    with pytest.raises(bc.errors.DesignError, match="names mechanism 'bernoulli', and another one"):
        bc.expose(*tables, spec, mechanism=bc.assignment.Complete(12, 6))
    exposure = bc.expose(*tables, SCENARIO.spec)
    with pytest.raises(bc.errors.DesignError, match=r"hand it to expose\(\)"):
        bc.Experiment(exposure, SCENARIO.spec, mechanism=bc.assignment.Bernoulli(12))


def test_without_the_edges_it_is_said_how_exposure_is_made(tables):
    with pytest.raises(bc.errors.MissingColumnError, match=r"'spillover'.*pass the edges too"):
        bc.analyze(tables[1], SCENARIO.spec, progressbar=False)


def test_ties_are_those_between_collaborators_over_two_hops_too(tables, exposure):
    spec = SCENARIO.spec.model_copy(update={"exposure": bc.spec.ExposureSpec(hops=2)})
    figures = [
        found.positivity.checks.set_index("check").loc["ties that cross clusters", "value"]
        for found in (exposure, bc.expose(*tables, spec))
    ]
    assert figures[0] == figures[1]


def test_clusters_without_outcomes_stay_in_the_graph(tables):
    """A cluster that is dropped keeps its part in exposure; strata are those of the others."""
    edges, users = tables[0], tables[1].copy()
    arm = users.groupby("workspace")["treated"].first()
    half = arm.groupby(arm).cumcount() % 2
    users["half"] = users["workspace"].map(half)
    users.loc[users["workspace"].isin([2, 11]), "outcome"] = np.nan
    outcome = SCENARIO.spec.outcome.model_copy(update={"missing": "drop"})
    design = SCENARIO.spec.design.model_copy(update={"strata": "half"})
    spec = SCENARIO.spec.model_copy(update={"outcome": outcome, "design": design})
    exp = bc.expose(edges, users, spec).experiment()
    assert exp.n_clusters_dropped == 2
    found = bc.frequentist.exposure_weighted_ols(exp)
    # dummies of the strata instead of absorbing them
    data = exp.exposure.data
    arms = exp.exposure.arms
    lowest = np.min([p for _, p in arms.values()], axis=0)
    used = (lowest >= 0.01) & data["outcome"].notna().to_numpy()
    x = np.column_stack([np.ones(240), data["treated"], data["spillover"], data["half"]])[used]
    root = np.sqrt(1 / data["exposure_probability"].to_numpy()[used])[:, None]
    y = data["outcome"].to_numpy()[used]
    by_hand = np.linalg.lstsq(x * root, y * root[:, 0], rcond=None)[0]
    at = [found.terms.index(term) for term in ("direct", "spillover")]
    np.testing.assert_allclose(found.estimate[at], by_hand[1:3])


def test_a_mechanism_handed_over_is_not_taken_for_another_one(tables):
    edges, users = tables[0], tables[1].copy()
    users.loc[users["workspace"] == 4, "outcome"] = np.nan
    outcome = SCENARIO.spec.outcome.model_copy(update={"missing": "drop"})
    spec = SCENARIO.spec.model_copy(update={"outcome": outcome})
    own = bc.assignment.Custom(12, lambda rng: rng.permutation(12) < 6)
    exp = bc.expose(edges, users, spec, mechanism=own, draws=200).experiment()
    with pytest.raises(bc.errors.DesignError, match="assigned 12 clusters, and 11 have units left"):
        bc.randomization_test(exp)


def test_the_command_writes_users_and_says_what_became_of_edges(tables, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    edges, users, spec = (tmp_path / name for name in ("edges.csv", "users.parquet", "spec.toml"))
    tables[0].to_csv(edges, index=False)
    tables[1].to_parquet(users)
    spec.write_text(SCENARIO.spec.to_toml())
    out = tmp_path / "exposed.parquet"
    args = ["exposure", str(edges), str(users), "--design", str(spec), "-o", str(out)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert "rows of edges read" in result.stderr
    assert "users who can never be exposed" in result.stderr
    found = pd.read_parquet(out).sort_values("user", ignore_index=True)
    expected = bc.expose(*tables, SCENARIO.spec).data
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    quiet = CliRunner().invoke(app, [*args, "--quiet"])
    assert (quiet.stdout.strip(), quiet.stderr) == (str(out), "")
    wrong = CliRunner().invoke(app, [*args[:-1], str(tmp_path / "x.xlsx")])
    assert wrong.exit_code == 1
    assert "the file name must end in .csv or .parquet" in wrong.stderr
