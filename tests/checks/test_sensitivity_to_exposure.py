"""Sensitivity to mapping and graph: every row is the analysis that it names, done from scratch."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.checks.exposure_reanalysis import thinned
from bayescluster.checks.sensitivity_to_exposure import _verdict
from bayescluster.exposure.expose import Exposure
from bayescluster.exposure.mappings import AtLeast, CustomMapping, ShareAbove, TreatedShare
from bayescluster.frequentist.graph_estimators import with_expected

SCENARIO = bc.simulate.GraphScenario(n_clusters=16, cluster_size=20)
OLS, POSTERIOR = "recentred OLS, CR2", "posterior, integrated"
FEW = {"keep": (), "hops": (1,), "mappings": {}}


def spec_of(design=None, outcome=None, exposure=None):
    base = SCENARIO.spec
    return bc.ModelSpec(
        title=base.title,
        design={**base.design.model_dump(), **(design or {})},
        outcome={"column": "outcome", **(outcome or {})},
        exposure=exposure or {},
    )


def check_rows(rows, exposure, spec):
    """Compare one assumption's rows with recentred_ols and the posterior of its experiment."""
    exp = exposure.experiment()
    fitted = bc.frequentist.recentred_ols(exp).to_dataframe().set_index("term")
    found = rows.set_index(["estimator", "effect"])
    columns = ["estimate", "lower", "upper"]
    for effect in spec.design.effects:
        expected = fitted.loc[effect, ["estimate", "ci_lower", "ci_upper"]].to_numpy(float)
        np.testing.assert_allclose(
            found.loc[(OLS, effect), columns].to_numpy(float), expected, 1e-7
        )
    if POSTERIOR in found.index:
        posterior = (
            bc.bayes.exact_posterior(with_expected(exp)).to_dataframe().set_index("parameter")
        )
        for effect in spec.design.effects:
            expected = posterior.loc[effect, ["mean", "ci_lower", "ci_upper"]].to_numpy(float)
            ours = found.loc[(POSTERIOR, effect), columns].to_numpy(float)
            np.testing.assert_allclose(ours, expected, 1e-5)
    used = np.isfinite(exp.outcomes())
    exposed = used & (exposure.value > 0) & ~exposure.treated
    assert (rows["users_exposed"] == exposed.sum()).all()


def covariates(users, seed=0):
    rng = np.random.default_rng(seed)
    users = users.assign(age=rng.normal(40, 9, len(users)), role=rng.choice(["a", "b"], len(users)))
    users.loc[users.index[::17], "outcome"] = np.nan
    return users.sample(frac=1, random_state=1)


CASES = {
    "plain": (spec_of(), None),
    "covariates, missing outcomes": (
        spec_of(outcome={"covariates": ("age", "role"), "missing": "drop"}),
        covariates,
    ),
    "expected exposure declared": (spec_of(outcome={"covariates": ("expected_exposure",)}), None),
    "interaction": (spec_of({"interaction": True}), None),
    "strata": (
        spec_of({"strata": "region"}),
        lambda users: users.assign(
            region="r" + (users["workspace"] % 8 // 4).astype(str),
            treated=(users["workspace"] // 8 + users["workspace"] // 2) % 2,
        ),
    ),
    "lognormal": (
        spec_of(outcome={"family": "lognormal"}),
        lambda users: users.assign(outcome=np.exp(users["outcome"] / 4)),
    ),
    "binary": (
        spec_of(outcome={"family": "bernoulli"}),
        lambda users: users.assign(outcome=(users["outcome"] > 5.8).astype(int)),
    ),
    "dose": (spec_of(exposure={"mapping": "share"}), None),
    "two hops": (spec_of(exposure={"hops": 2, "mapping": "share"}), None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_declared_rows_are_the_declared_analysis(case):
    spec, change = CASES[case]
    edges, users = SCENARIO.simulate(1)
    users = change(users) if change else users
    found = bc.checks.exposure_sensitivity(
        edges, users, spec, **{**FEW, "keep": [1.0], "repeats": 2}
    )
    hops = found.table["kind"] == "hops"
    assert hops.any() == (case == "two hops")
    declared = found.table[found.table["kind"] == "declared"]
    assert (POSTERIOR in set(declared["estimator"])) == (case != "binary")
    check_rows(declared, bc.expose(edges, users, spec), spec)
    assert (declared["shift"] == 0).all()
    assert (declared["verdict"] == "ok").all()
    # Losing nothing changes nothing, whatever the repeat.
    same = found.table[found.table["kind"] == "lost ties"]
    numbers = ["estimate", "lower", "upper", "lowest", "highest", "users_exposed", "mean_dose"]
    np.testing.assert_array_equal(declared[numbers], same[numbers])
    assert (same["assumption"] == "100% of the ties kept").all()
    np.testing.assert_allclose(same["shift"], 0, atol=1e-12)


def test_a_partial_rollout_keeps_its_mapping():
    edges, users = SCENARIO.simulate(2)
    users = users.assign(treated=(users["workspace"] < 12) * (users["user"] % 2))
    exposure = {"mapping": "within_share"}
    spec = spec_of({"level": "unit", "mechanism": None}, exposure=exposure)
    found = bc.checks.exposure_sensitivity(edges, users, spec, keep=[0.9], repeats=2)
    assert found.table["kind"].unique().tolist() == ["declared", "hops", "lost ties"]
    check_rows(found.table[found.table["kind"] == "declared"], bc.expose(edges, users, spec), spec)


def test_other_mappings_and_reaches_are_analyses_of_their_own():
    edges, users = SCENARIO.simulate(3)
    spec = spec_of()
    sparse = edges.iloc[::3]  # or two hops would reach everybody
    found = bc.checks.exposure_sensitivity(sparse, users, spec, keep=()).table
    mappings = {
        "at least 2": AtLeast(2),
        "share (a dose)": TreatedShare(),
        "share above 0.5": ShareAbove(0.5),
    }
    for name, mapping in mappings.items():
        rows = found[found["assumption"] == name]
        check_rows(rows, bc.expose(sparse, users, spec, mapping=mapping), spec)
    two = spec_of(exposure={"hops": 2})
    check_rows(found[found["assumption"] == "2 hops"], bc.expose(sparse, users, two), two)
    assert "at least 1" not in set(found["assumption"])  # it is the declared one
    base = found[found["kind"] == "declared"].set_index(["estimator", "effect"])
    z = 1.959963984540054
    for row in found[found["kind"] == "mapping"].itertuples():
        declared = base.loc[(row.estimator, row.effect)]
        at_dose = row.mean_dose if row.effect == "spillover" else 1.0
        assert row.mean_dose == (1.0 if row.assumption != "share (a dose)" else at_dose)
        # Roughly: the posterior's interval is nearly normal.
        error = (declared["upper"] - declared["lower"]) / (2 * z)
        shift = (row.estimate * at_dose - declared["estimate"]) / error
        if row.estimator == POSTERIOR:
            assert row.shift == pytest.approx(shift, rel=0.02, abs=1e-3)
        assert row.lowest == row.estimate == row.highest
    named = bc.checks.exposure_sensitivity(
        sparse, users, spec, keep=(), hops=[1], mappings=[AtLeast(2), AtLeast(2, "clusters")]
    )
    assert named.table["assumption"].unique().tolist() == [
        "as declared",
        "at least 2 treated collaborators outside the own cluster",
        "at least 2 treated clusters touched outside the own cluster",
    ]


def test_with_interaction_other_mappings_expose_treated_users_too():
    edges, users = SCENARIO.simulate(7)
    spec = spec_of({"interaction": True})
    settings = {"keep": (), "hops": (1,), "mappings": {"two": AtLeast(2), "dose": TreatedShare()}}
    found = bc.checks.exposure_sensitivity(edges, users, spec, **settings).table
    for name, mapping in settings["mappings"].items():
        exposure = bc.expose(edges, users, spec, mapping=mapping)
        rows = found[found["assumption"] == name]
        check_rows(rows, exposure, spec)
        exposed = exposure.value[exposure.treated & (exposure.value > 0)]
        dose = rows.loc[rows["effect"] == "interaction", "mean_dose"]
        np.testing.assert_allclose(dose, exposed.mean(), 1e-12)


def test_lost_ties_are_averages_over_thinned_graphs():
    edges, users = SCENARIO.simulate(4)
    spec = spec_of()
    found = bc.checks.exposure_sensitivity(
        edges, users, spec, keep=(0.8, 0.5), repeats=3, hops=(1,), mappings={}, seed=7
    )
    declared = bc.expose(edges, users, spec)
    for keep in (0.8, 0.5):
        rows = found.table[found.table["assumption"] == f"{100 * keep:g}% of the ties kept"]
        fits, exposed = [], []
        for repeat in range(3):
            rng = np.random.default_rng([7, round(keep * 1e9), repeat])
            collaborators = thinned(declared.collaborators, keep, rng)
            again = Exposure.of(collaborators, declared.assignment, AtLeast(1), declared.mechanism)
            changed = again.for_users(users, spec)
            fits.append(
                bc.frequentist.recentred_ols(changed.experiment()).to_dataframe().set_index("term")
            )
            exposed.append((again.spillover > 0).sum())
        for effect in ("direct", "spillover"):
            row = rows[(rows["effect"] == effect) & (rows["estimator"] == OLS)].iloc[0]
            each = np.array([f.loc[effect, ["estimate", "ci_lower", "ci_upper"]] for f in fits])
            ours = row[["estimate", "lower", "upper"]].to_numpy(float)
            np.testing.assert_allclose(ours, each.mean(axis=0).astype(float), 1e-7)
            assert row["lowest"] == pytest.approx(each[:, 0].min(), rel=1e-7)
            assert row["highest"] == pytest.approx(each[:, 0].max(), rel=1e-7)
            assert row["users_exposed"] == pytest.approx(np.mean(exposed))
    # A share's graphs do not depend on which other shares are asked for.
    alone = bc.checks.exposure_sensitivity(
        edges, users, spec, keep=(0.5,), repeats=3, hops=(1,), mappings={}, seed=7
    )
    last = found.table[found.table["assumption"] == "50% of the ties kept"]
    np.testing.assert_array_equal(
        last["estimate"], alone.table.loc[alone.table["kind"] == "lost ties", "estimate"]
    )


def test_thinning_keeps_ties_with_their_probability_and_weights_in_proportion():
    rng = np.random.default_rng(5)
    users = pd.DataFrame({"user": np.arange(400), "cluster": np.arange(400) % 5})
    edges = pd.DataFrame(rng.integers(0, 400, (6_000, 2)), columns=["from", "to"])
    edges["w"] = rng.integers(1, 5, 6_000)
    graph = bc.exposure.CollaborationGraph(edges, users, options=bc.spec.ExposureSpec(weight="w"))
    collaborators = graph.collaborators
    lost = thinned(collaborators, 0.7, np.random.default_rng(6))
    total = collaborators.count.sum()
    error = np.sqrt(total * 0.7 * 0.3)
    assert lost.count.sum() == pytest.approx(0.7 * total, abs=4 * error)
    assert (lost.count > 0).all()
    before = {(u, o): (c, w) for u, o, c, w in entries(collaborators)}
    for user, other, count, weight in entries(lost):
        known, total_weight = before[user, other]
        assert count <= known
        assert weight == pytest.approx(total_weight * count / known, rel=1e-12)
    assert lost.start[-1] == len(lost.other)
    same = thinned(collaborators, 1.0, np.random.default_rng(6))
    for name in ("start", "other", "count", "weight"):
        np.testing.assert_array_equal(getattr(same, name), getattr(collaborators, name))


def entries(collaborators):
    return zip(
        collaborators.user,
        collaborators.other,
        collaborators.count,
        collaborators.weight,
        strict=True,
    )


def test_losing_ties_moves_the_spillover_towards_zero():
    scenario = bc.simulate.GraphScenario(spillover=1.0, within_sd=0.3, between_sd=0.05)
    edges, users = scenario.simulate(1)
    found = bc.checks.exposure_sensitivity(
        edges, users, spec_of(), keep=(0.8, 0.5), repeats=5, hops=(1,), mappings={}
    )
    rows = found.table[(found.table["effect"] == "spillover") & (found.table["estimator"] == OLS)]
    declared, less, least = rows["estimate"]
    assert declared > less > least > 0
    assert found.verdict == "problem"
    advice = rows["advice"].iloc[-1]
    assert "ties that are already missing may have moved it the same way" in advice


def test_what_is_not_identified_is_a_row_that_says_so():
    edges, users = SCENARIO.simulate(5)

    def broken(collaborators, treated):
        return np.zeros(3)

    found = bc.checks.exposure_sensitivity(
        edges,
        users,
        spec_of(),
        keep=(),
        hops=(1,),
        mappings={"at least 999": AtLeast(999), "broken": CustomMapping(broken)},
        draws=10,
    )
    for name, said in (("at least 999", "not identified"), ("broken", "returned shape")):
        rows = found.table[found.table["assumption"] == name]
        assert len(rows) == 4
        assert rows[["estimate", "lower", "upper", "lowest", "shift"]].isna().all(axis=None)
        assert (rows["verdict"] == "caution").all()
        assert rows["advice"].str.contains(said).all()
        assert (rows["users_exposed"] == 0).all()
    assert len(found.plot().axes) == 2


def test_repeats_that_fail_are_counted():
    edges, users = SCENARIO.simulate(5)
    found = bc.checks.exposure_sensitivity(
        edges, users, spec_of(), keep=(0.002,), repeats=8, hops=(1,), mappings={}
    )
    rows = found.table[found.table["kind"] == "lost ties"]
    assert rows["advice"].str.contains(r"of 8 repeats identify no effect|not identified:").all()
    assert (rows["verdict"] != "ok").all()


@pytest.mark.parametrize(
    ("shift", "interval", "ratio", "kind", "verdict", "said"),
    [
        (0.5, (0.1, 2.0), 1.0, "mapping", "ok", ""),
        (1.5, (0.1, 4.0), 1.0, "mapping", "caution", "justify the declared mapping"),
        (2.5, (0.1, 5.0), 1.0, "lost ties", "problem", "complete the graph"),
        (-0.5, (-0.1, 2.0), 1.0, "mapping", "caution", "one interval excludes zero"),
        (-1.9, (-3.0, -1.0), 1.0, "mapping", "problem", "one interval excludes zero"),
        (-5.0, (-9.0, 9.0), 4.0, "hops", "caution", "4.0 times the declared one"),
        (-9.0, (-9.0, 9.0), 4.0, "hops", "problem", "justify the declared mapping"),
    ],
)
def test_verdicts(shift, interval, ratio, kind, verdict, said):
    from bayescluster.checks.exposure_reanalysis import Reanalysed

    row = {
        "effect": "spillover",
        "kind": kind,
        "estimate": 1 + shift / 2,
        "lower": interval[0],
        "upper": interval[1],
        "shift": shift,
    }
    one = Reanalysed({("a", "b"): np.zeros(4)}, 5, {})
    judged = _verdict(row, np.array([1.0, 0.02, 1.98, 0.5]), [one], ratio)
    assert judged["verdict"] == verdict
    assert said in judged["advice"]
    assert bool(said) == bool(judged["advice"])


def test_a_mechanism_and_a_mapping_can_be_handed_over():
    edges, users = SCENARIO.simulate(6)
    spec = spec_of()
    mechanism = bc.assignment.Bernoulli(16)
    found = bc.checks.exposure_sensitivity(
        edges, users, spec, mapping=AtLeast(2), mechanism=mechanism, keep=(), hops=(1,)
    )
    declared = bc.expose(edges, users, spec, mapping=AtLeast(2), mechanism=mechanism)
    check_rows(found.table[found.table["kind"] == "declared"], declared, spec)
    assert "at least 1" in set(found.table["assumption"])
    assert "at least 2" not in set(found.table["assumption"])


def test_sensitivity_shows_itself_and_refuses_what_it_cannot_do():
    edges, users = SCENARIO.simulate(1)
    spec = spec_of()
    found = bc.checks.exposure_sensitivity(edges, users, spec, keep=[0.9], repeats=2)
    assert found.to_dataframe() is found.table
    assert "90% of the ties kept" in str(found)
    figure = found.plot()
    assert len(figure.axes) == 2
    assert found.plot(figure) is figure
    for wrong in ([0.0], [1.2], [0.5, -1]):
        with pytest.raises(ValueError, match=r"keep must lie in \(0, 1\]"):
            bc.checks.exposure_sensitivity(edges, users, spec, keep=wrong)
    with pytest.raises(ValueError, match="repeats must be at least 1; given 0"):
        bc.checks.exposure_sensitivity(edges, users, spec, repeats=0)
    with pytest.raises(ValueError, match="hops must be 1 or 2; given 3"):
        bc.checks.exposure_sensitivity(edges, users, spec, hops=[3])
    without = spec.model_copy(update={"exposure": None})
    with pytest.raises(bc.errors.SpecError, match=r"no section \[exposure\]"):
        bc.checks.exposure_sensitivity(edges, users, without)
    with pytest.raises(bc.errors.DataError, match="the edges' table has no rows"):
        bc.checks.exposure_sensitivity(edges.head(0), users, spec)
