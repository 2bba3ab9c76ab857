"""Groupings of clusters: planted ones are found, and their rows are those of the grouped design."""

import random

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.design.cluster_grouping import _undominated, grouped
from bayescluster.design.graph_partitions import Partitions
from bayescluster.exposure.mappings import TreatedShare


def planted(groups=5, each=4, size=3, across=0, seed=0):
    """Clusters in shuffled groups: each pair of one group shares ties, `across` others at random.

    Returns edges, users and the group of each cluster.
    """
    rng = np.random.default_rng(seed)
    j = groups * each
    group = rng.permutation(np.repeat(np.arange(groups), each))
    users = pd.DataFrame({"user": np.arange(j * size), "workspace": np.arange(j * size) // size})
    pairs = [
        (a * size + rng.integers(size), b * size + rng.integers(size))
        for a in range(j)
        for b in range(a + 1, j)
        if group[a] == group[b]
    ]
    ends = rng.integers(0, j * size, (across, 2))
    pairs += [tuple(p) for p in ends if p[0] // size != p[1] // size]
    edges = pd.DataFrame(np.array(pairs), columns=["from", "to"])
    return edges, users, group


def graph_of(edges, users, **settings):
    return bc.exposure.CollaborationGraph(edges, users, cluster="workspace", **settings)


def same_partition(left, right):
    pairs = set(zip(np.asarray(left).tolist(), np.asarray(right).tolist(), strict=True))
    return len(pairs) == len(set(left)) == len(set(right))


@pytest.mark.parametrize("method", ["leiden", "leiden_modularity"])
@pytest.mark.parametrize("across", [0, 8])
def test_a_planted_partition_is_found(method, across):
    edges, users, group = planted(across=across)
    for asked in (None, [5], 5, (10, 5)):
        found = bc.design.group_clusters(graph_of(edges, users), asked, method=method)
        units = found.assign(5)
        assert list(units.columns) == ["workspace", "randomisation_unit"]
        assert units["workspace"].tolist() == list(range(20))
        assert same_partition(units["randomisation_unit"], group)
    row = found.table.set_index("units").loc[5]
    ends = group[edges["from"] // 3], group[edges["to"] // 3]
    ties = edges.assign(low=edges.min(axis=1), high=edges.max(axis=1))
    apart = (ends[0] != ends[1])[~ties.duplicated(["low", "high"]).to_numpy()]
    assert row["cross_units"] == pytest.approx(apart.mean(), abs=1e-12)
    # Two of five units are treated: a pair of units is split with probability 2 x 2/5 x 3/4.
    assert row["cross_arms"] == pytest.approx(0.6 * apart.mean(), abs=1e-12)
    assert found.table["units"].tolist() == [20, 10, 5]
    assert row["pareto"]
    assert not across or row["cross_units"] > 0
    assert (row["smallest"], row["largest"], row["size_cv"]) == (12, 12, 0)


@pytest.mark.parametrize("hops", [1, 2])
def test_a_grouped_graph_is_the_graph_of_the_groups(hops):
    rng = np.random.default_rng(1)
    users = pd.DataFrame({"user": np.arange(60), "workspace": np.arange(60) % 12})
    edges = pd.DataFrame(rng.integers(0, 60, (150, 2)), columns=["from", "to"])
    edges["messages"] = rng.integers(1, 9, 150)
    options = bc.spec.ExposureSpec(hops=hops, weight="messages")
    graph = graph_of(edges, users, options=options)
    found = bc.design.group_clusters(graph, [6, 4])
    for k in (12, 6, 4):
        joined = users.merge(found.assign(k), on="workspace")
        other = bc.exposure.CollaborationGraph(
            edges, joined, cluster="randomisation_unit", options=options
        )
        ours, theirs = found.grouped(k), other.collaborators
        for name in ("clusters", "cluster", "unit", "n_units", "start", "other", "count"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=1e-12)
        plan = bc.design.plan_exposure(other, bc.assignment.Complete(k, k // 2), draws=2)
        row = found.table.set_index("units").loc[k]
        expected = plan.conditions.set_index("condition")["users"]
        for name in ("spillover", "pure_control"):
            assert row[name] == pytest.approx(expected[name], rel=1e-12)
        assert row["cross_units"] == pytest.approx(plan.cross_clusters, rel=1e-12)
        assert row["cross_arms"] == pytest.approx(plan.cross_arms, rel=1e-12)


@pytest.mark.parametrize("unit_icc", [None, 0.0, 0.03])
def test_the_design_effect_is_the_variance_of_correlated_users(unit_icc):
    rng = np.random.default_rng(2)
    workspace = np.sort(rng.integers(0, 9, 80))
    workspace[:9] = np.arange(9)
    users = pd.DataFrame({"user": np.arange(80), "workspace": workspace})
    edges = pd.DataFrame(rng.integers(0, 80, (200, 2)), columns=["from", "to"])
    found = bc.design.group_clusters(graph_of(edges, users), [9, 5], icc=0.1, unit_icc=unit_icc)
    for row in found.table.itertuples():
        unit = found.assign(row.units)["randomisation_unit"].to_numpy()[workspace]
        together = workspace[:, None] == workspace
        V = np.where(unit[:, None] == unit, 0.1 if unit_icc is None else unit_icc, 0.0)
        V[together] = 0.1
        np.fill_diagonal(V, 1)
        assert row.design_effect == pytest.approx(V.sum() / 80, rel=1e-12)
        # The difference of two means of 40 users each, of independent arms.
        assert row.std_error == pytest.approx(np.sqrt(2 * row.design_effect / 40), rel=1e-12)
        if unit_icc is None:
            sizes = np.bincount(unit)
            cv = sizes.std() / sizes.mean()
            eldridge = 1 + ((1 + cv**2) * sizes.mean() - 1) * 0.1
            assert row.design_effect == pytest.approx(eldridge, rel=1e-12)
            assert row.size_cv == pytest.approx(cv, rel=1e-12)
    t = 3.182446305284263  # 97.5% point of t with 3 degrees of freedom, from a table
    last = found.table.iloc[-1]
    assert last["half_width"] == pytest.approx(t * last["std_error"], rel=1e-9)


def test_numbers_that_no_resolution_yields_are_reached_by_merging():
    edges, users, group = planted(groups=4, each=5)
    graph = graph_of(edges, users)
    for k in range(4, 21):
        units = bc.design.group_clusters(graph, k).assign(k)["randomisation_unit"]
        assert sorted(set(units)) == list(range(k))
        # Units are unions of clusters of one planted group: nothing is gained by mixing groups.
        mixed = pd.DataFrame({"unit": units, "group": group}).groupby("unit")["group"].nunique()
        assert (mixed == 1).all()
    # Ten parts without ties between them cannot be told apart: the smallest are merged.
    edges, users, _ = planted(groups=10, each=2)
    found = bc.design.group_clusters(graph_of(edges, users), [10, 5])
    assert found.table["cross_units"].tolist() == [1, 0, 0]
    assert found.table["size_cv"].tolist() == [0, 0, 0]
    assert found.table["pareto"].tolist() == [True, True, False]


def test_units_stay_comparable_where_clusters_weigh_their_users():
    scenario = bc.simulate.GraphScenario(n_clusters=60, cluster_size=20, reach=2)
    by_users, by_ties = (
        bc.design.group_clusters(scenario.graph, [12], method=method).table.iloc[-1]
        for method in ("leiden", "leiden_modularity")
    )
    assert by_users["size_cv"] < 0.5
    assert by_users["cross_units"] < 0.6 * scenario.graph.cross_share
    assert by_ties["cross_units"] < 0.6 * scenario.graph.cross_share


def test_a_grouping_cuts_as_few_ties_as_any_other_of_a_small_ring():
    """Eight clusters on a ring into four units: arcs cut four ties, and nothing cuts fewer."""
    users = pd.DataFrame({"user": np.arange(16), "workspace": np.arange(16) // 2})
    near = [(2 * i, (2 * i + 2) % 16) for i in range(8)]
    edges = pd.DataFrame(near, columns=["from", "to"])
    found = bc.design.group_clusters(graph_of(edges, users), 4)
    unit = found.assign(4)["randomisation_unit"].to_numpy()
    assert (unit != np.roll(unit, 1)).sum() == 4  # of 8 ties; less is impossible with 4 units
    assert found.table["cross_units"].tolist() == [1, 0.5]


def test_groupings_depend_on_the_seed_only():
    graph = bc.simulate.GraphScenario(n_clusters=30, cluster_size=10).graph
    random.seed(1)
    first = bc.design.group_clusters(graph, seed=3)
    assert random.random() == random.Random(1).random()  # the caller's stream is not consumed
    second = bc.design.group_clusters(graph, seed=3)
    pd.testing.assert_frame_equal(first.table, second.table)
    for k, labels in first.labels.items():
        np.testing.assert_array_equal(labels, second.labels[k])
    assert {30, 15, 7} <= set(first.labels)
    assert first.table["units"].is_monotonic_decreasing


def test_other_mappings_and_a_graph_without_ties_across():
    edges, users, _ = planted(across=10)
    graph = graph_of(edges, users)
    share = bc.design.group_clusters(graph, [5], mapping=TreatedShare())
    pd.testing.assert_frame_equal(share.table, bc.design.group_clusters(graph, [5]).table)
    inside = edges.assign(to=edges["from"] // 3 * 3, **{"from": edges["from"] // 3 * 3 + 1})
    lonely = bc.design.group_clusters(graph_of(inside, users))
    assert (lonely.table["cross_units"] == 0).all()
    assert lonely.table["pareto"].tolist() == [True] + [False] * (len(lonely.table) - 1)
    assert (lonely.table["spillover"] == 0).all()


def test_pareto_by_hand():
    costs = np.array([[0.5, 1.0], [0.4, 2.0], [0.4, 3.0], [0.1, 9.0], [0.1, 9.0]])
    assert _undominated(costs).tolist() == [True, True, False, True, True]


def test_an_experiment_on_units_is_analysed_with_the_unit_for_cluster():
    scenario = bc.simulate.GraphScenario(n_clusters=24, cluster_size=20, reach=1)
    found = bc.design.group_clusters(scenario.graph, [12])
    edges, users = scenario.simulate(1)
    users = users.merge(found.assign(12), on="workspace")
    users["treated"] = users["randomisation_unit"] % 2
    design = scenario.spec.design.model_copy(update={"cluster": "randomisation_unit"})
    exposure = bc.expose(edges, users, scenario.spec.model_copy(update={"design": design}))
    row = found.table.set_index("units").loc[12]
    p = exposure.probabilities
    assert row["spillover"] == pytest.approx(p.of("spillover").sum(), rel=1e-12)
    assert exposure.experiment().moments().n_clusters == 12


def test_groupings_show_themselves():
    found = bc.design.group_clusters(
        bc.simulate.GraphScenario(n_clusters=12, cluster_size=10).graph
    )
    assert "cross_units" in str(found)
    figure = found.plot()
    assert len(figure.axes) == 2
    assert found.plot(figure) is figure


def test_groupings_refuse_what_they_cannot_do():
    edges, users, _ = planted()
    graph = graph_of(edges, users)
    for wrong, told in ((3, "3"), ([5, 21], "21"), ([4.5], "4.5"), ([], "none")):
        with pytest.raises(
            bc.errors.DesignError, match=f"from 4 .* to the 20 clusters; given {told}"
        ):
            bc.design.group_clusters(graph, wrong)
    with pytest.raises(ValueError, match="method must be leiden or leiden_modularity"):
        bc.design.group_clusters(graph, method="louvain")
    with pytest.raises(ValueError, match=r"icc must lie in \[0, 1\]; given 2"):
        bc.design.group_clusters(graph, icc=2)
    with pytest.raises(ValueError, match=r"unit_icc must lie in \[0, 1\]; given -0.1"):
        bc.design.group_clusters(graph, unit_icc=-0.1)
    with pytest.raises(bc.errors.DesignError, match="single users are assigned"):
        bc.design.group_clusters(graph_of(edges, users, by_user=True))
    with pytest.raises(TypeError, match="must be a CollaborationGraph, not Collaborators"):
        bc.design.group_clusters(graph.collaborators)
    few = users.assign(workspace=users["workspace"] % 3)
    with pytest.raises(bc.errors.DesignError, match="3 clusters cannot be grouped"):
        bc.design.group_clusters(graph_of(edges, few))
    found = bc.design.group_clusters(graph, [5])
    with pytest.raises(ValueError, match="no grouping into 6 units; there are 20, 5"):
        found.assign(6)


def test_grouping_nothing_changes_nothing():
    edges, users, _ = planted(across=5)
    collaborators = graph_of(edges, users).collaborators
    same = grouped(collaborators, np.arange(20))
    for name in ("unit", "start", "other", "count", "weight"):
        np.testing.assert_array_equal(getattr(same, name), getattr(collaborators, name))
    sizes = np.bincount(collaborators.unit)
    search = Partitions.of(collaborators, sizes, by_ties=False, seed=0)
    np.testing.assert_array_equal(search.into(20), np.arange(20))


def test_of_partitions_with_as_many_units_the_one_that_cuts_least_is_kept():
    edges, users, group = planted(groups=4, each=2)
    collaborators = graph_of(edges, users).collaborators
    search = Partitions.of(collaborators, np.bincount(collaborators.unit), by_ties=False, seed=0)
    assert same_partition(search.into(4), group)
    assert search._keep(np.arange(8) % 4) == 4
    assert same_partition(search.into(4), group)
    other = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    assert search._keep(other) == 3
    np.testing.assert_array_equal(search.into(3), other)
    better = np.minimum(search.into(4), 2)  # unions of planted groups: no tie is cut
    search._keep(better)
    np.testing.assert_array_equal(search.into(3), better)
