"""Plans of an assignment equal the enumeration of all that it could be."""

import math

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.data.conditions import GRAPH_CONDITIONS
from bayescluster.exposure.mappings import AtLeast, CustomMapping, ShareAbove, TreatedShare


def random_graph(seed=0, clusters=6, users=24, ties=50):
    rng = np.random.default_rng(seed)
    people = pd.DataFrame({"user": np.arange(users), "cluster": np.arange(users) % clusters})
    pairs = rng.integers(0, users, (ties, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    edges = pd.DataFrame(pairs, columns=["from", "to"])
    return edges, people, bc.exposure.CollaborationGraph(edges, people)


def brute(edges, people, assignments, weights, k, interaction):
    """Counts by condition and shares across arms of every assignment, tie by tie."""
    pairs = {tuple(sorted(pair)) for pair in edges.to_numpy().tolist()}
    cluster = people["cluster"].to_numpy()
    near = {i: set() for i in people["user"]}
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    counts, shares = [], []
    for t in assignments:
        row = dict.fromkeys(GRAPH_CONDITIONS, 0)
        for i, others in near.items():
            hit = sum(t[cluster[j]] for j in others if cluster[j] != cluster[i]) >= k
            treated = int(t[cluster[i]])
            names = ("direct", "direct_with_exposure" if interaction else "direct")
            row[(names if treated else ("pure_control", "spillover"))[int(hit)]] += 1
        if not interaction:
            del row["direct_with_exposure"]
        counts.append(list(row.values()))
        shares.append(np.mean([t[cluster[a]] != t[cluster[b]] for a, b in pairs]))
    counts, shares = np.array(counts, dtype=float), np.array(shares)
    mean, share = weights @ counts, weights @ shares
    return (
        mean,
        np.sqrt(weights @ (counts - mean) ** 2),
        share,
        math.sqrt(weights @ (shares - share) ** 2),
    )


MECHANISMS = {
    "complete": bc.assignment.Complete(6, 2),
    "stratified": bc.assignment.Stratified([0, 0, 0, 1, 1, 1], {0: 1, 1: 2}),
    "pairs": bc.assignment.Stratified([0, 0, 1, 1, 2, 2], {0: 1, 1: 1, 2: 1}),
    "coins": bc.assignment.Bernoulli(6, least=1),
}


@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("name", MECHANISMS)
def test_a_plan_equals_enumeration(name, k, interaction):
    edges, people, graph = random_graph()
    mechanism = MECHANISMS[name]
    every = np.array(list(mechanism.enumerate()))
    even = np.full(len(every), 1 / len(every))
    mean, sd, share, share_sd = brute(edges, people, every, even, k, interaction)
    plan = bc.design.plan_exposure(graph, mechanism, AtLeast(k), interaction=interaction)
    assert plan.probabilities.method == plan.cross_arms_method == "closed form"
    assert plan.sd_method == f"all {len(every)} assignments"
    assert plan.conditions["users"].to_numpy() == pytest.approx(mean, abs=1e-12)
    assert plan.conditions["sd"].to_numpy() == pytest.approx(sd, abs=1e-12)
    assert plan.conditions["users"].sum() == pytest.approx(24, abs=1e-12)
    assert plan.cross_arms == pytest.approx(share, abs=1e-12)
    assert plan.cross_arms_sd == pytest.approx(share_sd, abs=1e-12)
    assert plan.cross_clusters == pytest.approx(graph.cross_share, abs=1e-12)


def test_drawn_plans_agree_within_their_error():
    _, _, graph = random_graph(1)
    exact = bc.design.plan_exposure(graph, bc.assignment.Complete(6, 3))
    draws = 20_000
    custom = bc.assignment.Custom(6, lambda rng: rng.permutation(6) < 3)
    drawn = bc.design.plan_exposure(graph, custom, draws=draws)
    assert (drawn.probabilities.method, drawn.cross_arms_method) == (
        "simulation",
        "drawn assignments",
    )
    assert drawn.sd_method == "20,000 drawn assignments"
    error = exact.conditions["sd"].to_numpy() / math.sqrt(draws)
    gap = np.abs(drawn.conditions["users"] - exact.conditions["users"]).to_numpy()
    assert (gap <= 4 * error + 1e-9).all()
    # 4 relative errors of an SD; heavy tails can do no more here, the counts being bounded.
    assert drawn.conditions["sd"].to_numpy() == pytest.approx(
        exact.conditions["sd"].to_numpy(), rel=4 / math.sqrt(2 * draws), abs=1e-9
    )
    assert drawn.cross_arms == pytest.approx(
        exact.cross_arms, abs=4 * exact.cross_arms_sd / math.sqrt(draws)
    )


def test_unfair_coins_cross_arms_as_their_probabilities_say():
    edges, people, graph = random_graph(2)
    mechanism = bc.assignment.Bernoulli(6, least=1, chance=0.3)
    every = np.array(list(bc.assignment.Bernoulli(6, least=1).enumerate()))
    weight = 0.3 ** every.sum(axis=1) * 0.7 ** (~every).sum(axis=1)
    mean, _, share, _ = brute(edges, people, every, weight / weight.sum(), 1, False)
    plan = bc.design.plan_exposure(graph, mechanism, draws=50)
    assert plan.conditions["users"].to_numpy() == pytest.approx(mean, abs=1e-12)
    assert plan.cross_arms == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    "mapping", [TreatedShare(), ShareAbove(0.4), CustomMapping(lambda t, a: a[t.unit][::-1] * 1.0)]
)
def test_other_mappings_are_enumerated(mapping):
    _, _, graph = random_graph(3)
    mechanism = bc.assignment.Complete(6, 3)
    plan = bc.design.plan_exposure(graph, mechanism, mapping)
    every = np.array(list(mechanism.enumerate()))
    exposed = mapping.values(graph.collaborators, every) > 0
    spilled = (exposed & ~every[:, graph.collaborators.unit].T).sum(axis=0)
    row = plan.conditions.set_index("condition").loc["spillover"]
    assert row["users"] == pytest.approx(spilled.mean(), abs=1e-12)
    assert row["sd"] == pytest.approx(spilled.std(), abs=1e-12)


def test_users_who_cannot_or_must_be_exposed_are_counted():
    # User 0 touches nobody; user 1 touches all other clusters, of which one is always treated.
    people = pd.DataFrame({"user": [0, 1, 2, 3, 4], "cluster": [0, 0, 1, 2, 3]})
    edges = pd.DataFrame({"from": [1, 1, 1], "to": [2, 3, 4]})
    graph = bc.exposure.CollaborationGraph(edges, people)
    plan = bc.design.plan_exposure(graph, bc.assignment.Complete(4, 2))
    checks = plan.to_dataframe().set_index("check")
    assert checks.loc["users who can never be exposed", "value"] == "1 of 5"
    assert checks.loc["users who are always exposed while untreated", "value"] == "1 of 5"
    assert checks.loc["users who are always exposed while untreated", "verdict"] == "caution"
    assert checks.loc["users who can be exposed, and not", "value"] == "3 of 5 (60.0%)"
    # Touching one cluster of which half is treated: P(own not, other treated) = 2/4 x 2/3.
    assert plan.probabilities.of("spillover")[2] == pytest.approx(1 / 3, abs=1e-12)
    assert plan.conditions["never"].tolist() == [0, 1, 1]
    # Every tie crosses clusters, and two of four units differ with probability 2/3.
    assert (plan.cross_clusters, plan.cross_arms) == pytest.approx((1, 2 / 3), abs=1e-12)
    assert checks.loc["ties expected to cross arms", "verdict"] == "caution"
    assert "group_clusters" in checks.loc["ties expected to cross arms", "advice"]
    assert (checks.loc[checks["verdict"] == "ok", "advice"] == "").all()


def test_a_plan_of_a_partial_rollout_and_of_two_hops():
    edges, people, _ = random_graph(4, ties=20)
    users = bc.exposure.CollaborationGraph(edges, people, by_user=True)
    mechanism = bc.assignment.Stratified(people["cluster"].to_numpy(), dict.fromkeys(range(6), 2))
    plan = bc.design.plan_exposure(users, mechanism, TreatedShare(within=True), draws=200)
    t = users.one_hop
    inside = (~t.outside * t.count).sum() / t.count.sum()
    # Within a cluster of four, two treated, pairs differ with probability 2/3; across with 1/2.
    assert plan.cross_arms == pytest.approx(inside * 2 / 3 + (1 - inside) / 2, abs=1e-12)
    options = bc.spec.ExposureSpec(hops=2)
    far = bc.exposure.CollaborationGraph(edges, people, options=options)
    near = bc.exposure.CollaborationGraph(edges, people)
    two, one = (bc.design.plan_exposure(g, bc.assignment.Complete(6, 3)) for g in (far, near))
    assert two.cross_arms == one.cross_arms  # of ties, not of paths
    spilled = [p.conditions.set_index("condition").loc["spillover", "users"] for p in (two, one)]
    assert spilled[0] > spilled[1]


def test_a_plan_shows_itself_and_refuses_what_does_not_fit(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, _, graph = random_graph()
    plan = bc.design.plan_exposure(graph, bc.assignment.Complete(6, 3))
    assert "ties expected to cross arms" in str(plan)
    figure = plan.plot()
    assert len(figure.axes) == 2
    again = bc.design.plan_exposure(graph.collaborators, bc.assignment.Complete(6, 3))
    pd.testing.assert_frame_equal(plan.conditions, again.conditions)
    with pytest.raises(bc.errors.DesignError, match="assigns 4 units, the graph has 6"):
        bc.design.plan_exposure(graph, bc.assignment.Complete(4, 2))
    with pytest.raises(ValueError, match="draws must be at least 2; given 1"):
        bc.design.plan_exposure(graph, bc.assignment.Complete(6, 3), draws=1)
