"""Every estimator of the registry: shared columns, unique labels, and refusals with a reason."""

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.errors import DesignError
from bayescluster.frequentist import estimator_registry
from bayescluster.frequentist.estimates_record import COLUMNS
from bayescluster.frequentist.estimator_registry import ESTIMATORS, Estimator, run_all
from bayescluster.frequentist.method_labels import (
    HAJEK,
    HORVITZ_THOMPSON,
    OVER_CLUSTERS,
    OVER_USERS,
    RECENTRED,
    Method,
)


@pytest.fixture(scope="module")
def experiments():
    scenario = bc.simulate.Scenario(n_clusters=12, cluster_size=30)
    graph = bc.simulate.GraphScenario(n_clusters=12, cluster_size=20)
    return {
        False: bc.Experiment(scenario.simulate(seed=1), scenario.spec),
        True: bc.expose(*graph.simulate(seed=1), graph.spec).experiment(),
    }


def test_keys_and_labels_are_unique():
    for part in ("key", "label"):
        known = [getattr(estimator.method, part) for estimator in ESTIMATORS]
        assert len(set(known)) == len(known)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.method.key)
def test_its_table_has_the_shared_columns(estimator, experiments):
    exp = experiments[not estimator.wanted(experiments[False])]
    given = {"effect": "direct"} if estimator.each_effect else {}
    table = estimator.run(exp, seed=0, ci_prob=0.9, **given).to_dataframe()
    assert table.columns.tolist() == COLUMNS
    assert set(table["term"]) & set(exp.spec.design.effects)
    row = table.iloc[-1]
    assert row["ci_lower"] <= row["estimate"] <= row["ci_upper"]
    assert estimator.average(exp) in ("user", "cluster", "neither")


def test_without_a_graph_its_estimators_are_not_mentioned(experiments):
    found = run_all(experiments[False], seed=0)
    expected = {one.method for one in ESTIMATORS if one.wanted(experiments[False])}
    assert not expected & {HAJEK, HORVITZ_THOMPSON, RECENTRED, OVER_USERS, OVER_CLUSTERS}
    assert set(found.results) == expected
    assert not {one.method for one in found.skipped} - expected
    with_graph = run_all(experiments[True], seed=0)
    everything = {one.method for one in ESTIMATORS}
    assert set(with_graph.results) >= everything - {OVER_USERS, OVER_CLUSTERS}
    assert all(table["average"].notna().all() for table in with_graph.tables)


def test_a_refusal_is_told_and_a_new_estimator_needs_one_entry(experiments, monkeypatch):
    def refused(exp, **_):
        raise DesignError("not with 12 clusters")

    toy = Method("toy", "toy estimator")
    no = Method("no", "never")
    added = (
        Estimator(
            toy, lambda exp, **_: bc.cluster_wls(exp), not_for=lambda exp: {"spillover": "why"}
        ),
        Estimator(no, refused),
    )
    monkeypatch.setattr(estimator_registry, "ESTIMATORS", (*ESTIMATORS, *added))
    exp = experiments[False]
    found = bc.compare(exp, bc.fit_exact(exp, draws=400), bootstrap_draws=50)
    assert {one.label: one.reason for one in found.skipped} == {
        "toy estimator of spillover": "why",
        "never": "not with 12 clusters",
    }
    assert np.isfinite(found.estimates["estimate"]).all()
    checks = bc.diagnose(found).set_index("check")
    assert checks.loc["never left out", "value"] == "not with 12 clusters"
