"""Exposure probabilities against enumeration of all assignments, and against scipy at scale."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from exposures import (
    MECHANISMS,
    OTHERS,
    J,
    condition_masks,
    enumerated,
    law,
    neighbours,
    small_graph,
)
from scipy import stats

import bayescluster as bc
from bayescluster.assignment.block_probabilities import Blocks, Coins, FixedNumber
from bayescluster.data.conditions import GRAPH_CONDITIONS
from bayescluster.exposure.collaborators import Collaborators
from bayescluster.exposure.joint_probability_of_exposure import (
    Averaged,
    ClosedForm,
    joint_probabilities,
)
from bayescluster.exposure.probability_of_exposure import MAX_K

MAPPINGS = {
    **{
        f"{k} {of}": bc.exposure.AtLeast(k, of)
        for k in (1, 2, 3, 4)
        for of in ("collaborators", "clusters")
    },
    "share outside": bc.exposure.TreatedShare(),
    "share within": bc.exposure.TreatedShare(within=True),
}
FOUR_OF_THREE = ("4 clusters", "complete, 3 of 8")
WITHOUT_CLOSED_FORM = {
    "share above": bc.exposure.ShareAbove(0.4),
    "custom": bc.exposure.CustomMapping(
        lambda t, arm: (t.matrix("clusters") @ arm.astype(float)) == 1
    ),
}


@cache
def graph():
    return small_graph()


@cache
def by_enumeration(mechanism, mapping):
    collaborators, ties = graph()
    patterns, weight = law(mechanism)
    if mapping == "custom":
        value, treated = (
            np.empty((collaborators.n_users, len(patterns))),
            patterns[:, collaborators.unit].T,
        )
        for user, b in itertools.product(range(collaborators.n_users), range(len(patterns))):
            units = {collaborators.cluster[o] for o in ties[user]} - {collaborators.cluster[user]}
            value[user, b] = sum(patterns[b][u] for u in units) == 1
    else:
        rule = {**MAPPINGS, **WITHOUT_CLOSED_FORM}[mapping]
        value, treated = enumerated(patterns, rule, ties, collaborators.cluster, collaborators.unit)
    return probabilities(value, treated, weight)


def probabilities(value, treated, weight):
    masks = condition_masks(value, treated)
    condition = np.column_stack([masks[name] @ weight for name in GRAPH_CONDITIONS])
    expected = np.column_stack([(value * ~treated) @ weight, (value * treated) @ weight])
    return condition, expected


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_closed_forms_equal_enumeration(mechanism, mapping):
    collaborators, _ = graph()
    found = bc.exposure.exposure_probabilities(
        collaborators, MAPPINGS[mapping], MECHANISMS[mechanism]
    )
    assert (found.method, found.draws, found.max_error) == ("closed form", 0, 0)
    condition, expected = by_enumeration(mechanism, mapping)
    assert np.abs(found.condition - condition).max() < 1e-12
    assert np.abs(found.expected - expected).max() < 1e-12
    assert ((found.condition == 0) == (condition == 0)).all()  # positivity is no matter of rounding
    impossible = mapping == "share within" or (mapping, mechanism) == FOUR_OF_THREE
    assert (
        condition[1, GRAPH_CONDITIONS.index("spillover")] > 0
    ) != impossible  # or the test says nothing


@pytest.mark.parametrize("mapping", [*MAPPINGS, *WITHOUT_CLOSED_FORM])
@pytest.mark.parametrize("mechanism", ["complete, 3 of 8", "pairs", "coins", "rerandomised pairs"])
def test_enumeration_equals_enumeration(mechanism, mapping):
    collaborators, _ = graph()
    rule = {**MAPPINGS, **WITHOUT_CLOSED_FORM}[mapping]
    found = bc.exposure.exposure_probabilities(
        collaborators, rule, {**MECHANISMS, **OTHERS}[mechanism], method="enumeration"
    )
    condition, expected = by_enumeration(mechanism, mapping)
    assert (found.method, found.draws) == ("enumeration", len(law(mechanism)[0]))
    assert np.abs(found.condition - condition).max() < 1e-12
    assert np.abs(found.expected - expected).max() < 1e-12
    assert found.max_error == 0
    assert "Monte Carlo" not in str(found)


@pytest.mark.parametrize(
    "mapping", ["1 collaborators", "2 clusters", "share outside", "share above"]
)
@pytest.mark.parametrize("mechanism", [*MECHANISMS, *OTHERS])
def test_simulation_agrees_within_its_stated_error(mechanism, mapping):
    """The largest of the users' differences, against five stated errors.

    Of some 100 probabilities the largest exceeds 5 errors with probability 100 x 6e-7 = 6e-5.
    """
    collaborators, _ = graph()
    rule = {**MAPPINGS, **WITHOUT_CLOSED_FORM}[mapping]
    found = bc.exposure.exposure_probabilities(
        collaborators,
        rule,
        {**MECHANISMS, **OTHERS}[mechanism],
        method="simulation",
        draws=20_000,
        seed=3,
    )
    condition, expected = by_enumeration(mechanism, mapping)
    assert (found.method, found.draws) == ("simulation", 20_000)
    z = np.abs(found.condition - condition) / found.error
    assert z.max() < 5
    assert z.max() > 0.5  # drawn, and not exact
    assert found.max_error <= 0.5 / math.sqrt(20_000)
    # A share's spread is no more than one half.
    assert np.abs(found.expected - expected).max() < 5 * 0.5 / math.sqrt(20_000)
    again = bc.exposure.exposure_probabilities(
        collaborators,
        rule,
        {**MECHANISMS, **OTHERS}[mechanism],
        method="simulation",
        draws=20_000,
        seed=3,
    )
    assert np.array_equal(found.condition, again.condition)


def test_the_best_way_is_chosen():
    collaborators, _ = graph()

    def way(mapping, mechanism):
        return bc.exposure.exposure_probabilities(
            collaborators, mapping, mechanism, draws=10
        ).method

    assert way(bc.exposure.AtLeast(2), bc.assignment.Complete(J, 4)) == "closed form"
    assert way(bc.exposure.AtLeast(MAX_K + 1), bc.assignment.Complete(J, 4)) == "enumeration"
    assert way(bc.exposure.ShareAbove(0.5), bc.assignment.Complete(J, 4)) == "enumeration"
    assert way(bc.exposure.ShareAbove(0.5), bc.assignment.Bernoulli(J, chance=0.4)) == "simulation"
    assert way(bc.exposure.AtLeast(), OTHERS["rerandomised"]) == "enumeration"
    assert way(bc.exposure.AtLeast(), OTHERS["custom"]) == "simulation"


@pytest.mark.parametrize(
    ("mapping", "mechanism", "options", "error", "message"),
    [
        (
            bc.exposure.AtLeast(),
            bc.assignment.Complete(7, 3),
            {},
            bc.errors.DesignError,
            "assigns 7 units, the graph has 8",
        ),
        (
            bc.exposure.ShareAbove(0.1),
            bc.assignment.Complete(J, 3),
            {"method": "closed form"},
            bc.errors.DesignError,
            "no closed form for a share of treated .* above 0.1 under Complete",
        ),
        (
            bc.exposure.AtLeast(),
            OTHERS["custom"],
            {"method": "closed form"},
            bc.errors.DesignError,
            "no closed form for at least one treated collaborator .* under Custom",
        ),
        (
            bc.exposure.AtLeast(),
            OTHERS["custom"],
            {"method": "enumeration"},
            bc.errors.DesignError,
            "inf assignments are too many to enumerate",
        ),
        (
            bc.exposure.AtLeast(),
            bc.assignment.Complete(J, 3),
            {"method": "guess"},
            ValueError,
            "method must be auto",
        ),
        (
            bc.exposure.AtLeast(),
            OTHERS["custom"],
            {"draws": 1},
            ValueError,
            "draws must be at least 2; given 1",
        ),
    ],
)
def test_what_cannot_be_worked_out_is_refused(mapping, mechanism, options, error, message):
    with pytest.raises(error, match=message):
        bc.exposure.exposure_probabilities(graph()[0], mapping, mechanism, **options)


@pytest.mark.parametrize(
    ("function", "is_dose", "message"),
    [
        (
            lambda t, arm: np.zeros(3),
            False,
            r"returned shape \(3,\), where one number for each of 24",
        ),
        (
            lambda t, arm: np.full(24, 0.5),
            False,
            r"gave 24 of 24 users an exposure that is not 0 or",
        ),
        (lambda t, arm: np.full(24, np.nan), True, r"gave 24 of 24 .* not in \[0, 1\]"),
        (lambda t, arm: np.linspace(0, 2, 24), True, r"gave 12 of 24 users .* not in \[0, 1\]"),
    ],
)
def test_bad_mappings_are_refused(function, is_dose, message):
    with pytest.raises(bc.errors.DesignError, match=message):
        bc.exposure.exposure_probabilities(
            graph()[0], bc.exposure.CustomMapping(function, is_dose), bc.assignment.Complete(J, 3)
        )
    for wrong in (
        lambda: bc.exposure.AtLeast(0),
        lambda: bc.exposure.AtLeast(1, "teams"),
        lambda: bc.exposure.ShareAbove(1),
    ):
        with pytest.raises(ValueError, match="must"):
            wrong()


# --- partial rollouts --------------------------------------------------------------------------


@cache
def rollout():
    """Twelve users of 4 teams: 2 of 4, 1 of 3, all of 2 and none of 3 are treated."""
    cluster = np.array([0, 1, 1, 0, 2, 3, 0, 1, 2, 3, 3, 0])
    n_treated = {0: 2, 1: 1, 2: 2, 3: 0}
    rng = np.random.default_rng(1)
    edges = pd.DataFrame(rng.integers(0, 11, (26, 2)), columns=["from", "to"])
    edges["w"] = rng.integers(1, 9, len(edges)) / 4
    users = pd.DataFrame({"user": np.arange(12), "cluster": cluster})
    collaborators = bc.exposure.CollaborationGraph(
        edges, users, options=bc.spec.ExposureSpec(weight="w"), by_user=True
    ).collaborators
    patterns = [
        p
        for p in itertools.product((False, True), repeat=12)
        if all(sum(np.array(p)[cluster == c]) == n for c, n in n_treated.items())
    ]
    mechanism = bc.assignment.Stratified(cluster, n_treated, allow_constant=True)
    return collaborators, neighbours(edges, 12), mechanism, np.array(patterns)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_partial_rollouts_equal_enumeration(mapping):
    collaborators, ties, mechanism, patterns = rollout()
    assert len(patterns) == 6 * 3
    weight = np.full(len(patterns), 1 / len(patterns))
    value, treated = enumerated(
        patterns, MAPPINGS[mapping], ties, collaborators.cluster, collaborators.unit
    )
    condition, expected = probabilities(value, treated, weight)
    found = bc.exposure.exposure_probabilities(collaborators, MAPPINGS[mapping], mechanism)
    counted = mapping[0] in "234" and mapping.endswith("clusters")
    assert found.method == ("enumeration" if counted else "closed form")
    assert np.abs(found.condition - condition).max() < 1e-12
    assert np.abs(found.expected - expected).max() < 1e-12
    assert ((found.condition == 0) == (condition == 0)).all()
    exposure = bc.Exposure.of(collaborators, patterns[5], MAPPINGS[mapping], mechanism)
    assert exposure.value.tolist() == pytest.approx(value[:, 5].tolist(), abs=1e-15)
    assert (np.array(GRAPH_CONDITIONS)[exposure.condition] == observed(value, treated, 5)).all()


def observed(value, treated, b):
    masks = condition_masks(value, treated)
    return np.select([masks[name][:, b] for name in GRAPH_CONDITIONS], GRAPH_CONDITIONS, "")


# --- joint probabilities -----------------------------------------------------------------------


@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_joint_probabilities_equal_enumeration(mechanism, interaction):
    collaborators, ties = graph()
    patterns, weight = law(mechanism)
    exposure = bc.Exposure.of(
        collaborators,
        patterns[0],
        bc.exposure.AtLeast(),
        MECHANISMS[mechanism],
        interaction=interaction,
    )
    joint = joint_probabilities(exposure)
    assert isinstance(joint, ClosedForm)
    value, treated = enumerated(
        patterns, bc.exposure.AtLeast(), ties, collaborators.cluster, collaborators.unit
    )
    masks = condition_masks(value, treated)
    if not interaction:
        masks["direct"] = masks["direct"] | masks.pop("direct_with_exposure")
    compare_joint(joint, masks, weight)
    if MECHANISMS[mechanism].n_assignments < np.inf:
        compare_joint(Averaged(exposure, patterns, "enumeration"), masks, weight)


@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("within", [False, True])
def test_joint_probabilities_of_partial_rollouts_equal_enumeration(within, interaction):
    collaborators, ties, mechanism, patterns = rollout()
    mapping = bc.exposure.TreatedShare(within=within)
    exposure = bc.Exposure.of(
        collaborators, patterns[0], mapping, mechanism, interaction=interaction
    )
    joint = joint_probabilities(exposure)
    assert isinstance(joint, ClosedForm)
    value, treated = enumerated(patterns, mapping, ties, collaborators.cluster, collaborators.unit)
    masks = condition_masks(value, treated)
    if not interaction:
        masks["direct"] = masks["direct"] | masks.pop("direct_with_exposure")
    compare_joint(joint, masks, np.full(len(patterns), 1 / len(patterns)))


def compare_joint(joint, masks, weight):
    n = len(masks["direct"])
    rows, columns = np.arange(n)[::-1], np.arange(n)
    for a, b in itertools.product(masks, repeat=2):
        found = joint.of(a, rows, b, columns)
        expected = (masks[a][rows] * weight) @ masks[b][columns].T
        assert np.abs(found - expected).max() < 1e-12, (a, b)
        assert ((found == 0) == (expected == 0)).all(), (a, b)


@pytest.mark.parametrize(
    ("mechanism", "mapping", "method"),
    [
        (bc.assignment.Complete(J, 3), bc.exposure.AtLeast(2), "enumeration"),
        (
            bc.assignment.Bernoulli(J, chance=0.3),
            bc.exposure.ShareAbove(0.2),
            "50 drawn assignments",
        ),
        (bc.assignment.Complete(J, 3), bc.exposure.TreatedShare(within=True), "enumeration"),
    ],
)
def test_other_joint_probabilities_are_averages(mechanism, mapping, method):
    collaborators, ties = graph()
    pattern = np.arange(J) < 3
    exposure = bc.Exposure.of(
        collaborators, pattern, mapping, mechanism, interaction=True, draws=50
    )
    joint = joint_probabilities(exposure, draws=50, seed=1)
    assert joint.method == method
    if method == "enumeration":
        patterns, weight = law("complete, 3 of 8")
    else:
        patterns, weight = mechanism.draw(np.random.default_rng(1), 50), np.full(50, 0.02)
    value, treated = enumerated(patterns, mapping, ties, collaborators.cluster, collaborators.unit)
    compare_joint(joint, condition_masks(value, treated), weight)


# --- blocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_patterns_within_blocks_equal_enumeration(mechanism):
    patterns, weight = law(mechanism)
    blocks = MECHANISMS[mechanism].blocks()
    for code in range(blocks.n_blocks):
        members = np.flatnonzero(blocks.code == code)
        of, treated = zip(
            *[(o, t) for o in range(len(members) + 1) for t in range(o + 1)], strict=True
        )
        expected = [
            weight[
                patterns[:, members[:t]].all(axis=1) & ~patterns[:, members[t:o]].any(axis=1)
            ].sum()
            for o, t in zip(of, treated, strict=True)
        ]
        found = blocks.specific(np.full(len(of), code), np.array(of), np.array(treated))
        assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_blocks_of_unequal_kinds_are_told_apart():
    kinds = (FixedNumber(4, 1), Coins(4, 1, 0.3), FixedNumber(4, 1), FixedNumber(5, 1))
    blocks = Blocks(np.repeat(np.arange(4), [4, 4, 4, 5]), kinds)
    code = np.array([[0, 1], [2, 3]])
    found = blocks.specific(code, np.full((2, 2), 2), 1)
    coins = 0.3 * 0.7 * (1 - 0) / (1 - 0.3**4 - 0.7**4)  # the two others may be anything
    assert found == pytest.approx(np.array([[0.25, coins], [0.25, 0.2]]), rel=1e-14)


BIG = 2_000


@cache
def big_graph():
    """One user a case, who touches 0 to 1,500 of 2,000 clusters, once each."""
    touched = np.array([0, 1, 2, 5, 20, 100, 500, 1_500])
    n = len(touched)
    users = np.arange(n)
    return Collaborators(
        users=users,
        clusters=np.arange(BIG),
        cluster=users,
        unit=users,
        n_units=BIG,
        start=np.concatenate([[0], np.cumsum(touched)]),
        other=np.concatenate([np.arange(n, n + m) for m in touched]).astype(np.int32),
        count=np.ones(touched.sum(), dtype=np.int32),
        weight=np.ones(touched.sum()),
    ), touched


@pytest.mark.parametrize("k", [1, 2, 4, 40])
@pytest.mark.parametrize("treated", [10, 1_000, 1_990])
def test_many_clusters_against_hypergeometric(k, treated):
    collaborators, m = big_graph()
    found = bc.exposure.exposure_probabilities(
        collaborators,
        bc.exposure.AtLeast(k, "clusters"),
        bc.assignment.Complete(BIG, treated),
        method="closed form",
    )
    share = treated / BIG
    below = stats.hypergeom.cdf(k - 1, BIG - 1, treated, m)
    below_treated = stats.hypergeom.cdf(k - 1, BIG - 1, treated - 1, m)
    expected = [
        share * below_treated,
        share * stats.hypergeom.sf(k - 1, BIG - 1, treated - 1, m),
        (1 - share) * stats.hypergeom.sf(k - 1, BIG - 1, treated, m),
        (1 - share) * below,
    ]
    assert found.condition == pytest.approx(np.column_stack(expected), rel=1e-9, abs=1e-13)
    assert found.condition.sum(axis=1) == pytest.approx(np.ones(len(m)), abs=1e-14)


@pytest.mark.parametrize("chance", [0.5, 0.02])
@pytest.mark.parametrize("k", [1, 3])
def test_many_clusters_against_binomial(k, chance):
    """Both arms have two clusters but for 1e-15 (chance 0.02: 41 x 0.98^1999 = 1e-16)."""
    collaborators, m = big_graph()
    found = bc.exposure.exposure_probabilities(
        collaborators,
        bc.exposure.AtLeast(k, "clusters"),
        bc.assignment.Bernoulli(BIG, least=2, chance=chance),
    )
    below = stats.binom.cdf(k - 1, m, chance)
    above = stats.binom.sf(k - 1, m, chance)
    expected = [chance * below, chance * above, (1 - chance) * above, (1 - chance) * below]
    assert found.condition == pytest.approx(np.column_stack(expected), rel=1e-9, abs=1e-13)


def test_coins_of_many_clusters_given_a_least_number():
    """Against the ratio of binomial probabilities from scipy, where the condition matters."""
    n, least, chance = 1_500, 700, 0.45
    coins = Coins(n, least, chance)
    for of, treated in ((0, 0), (1, 0), (1, 1), (3, 2), (40, 0), (40, 40)):
        rest = stats.binom(n - of, chance)
        inside = rest.cdf(n - least - treated) - rest.cdf(least - treated - 1)
        whole = stats.binom(n, chance)
        total = whole.cdf(n - least) - whole.cdf(least - 1)
        expected = chance**treated * (1 - chance) ** (of - treated) * inside / total
        assert coins.specific(of, treated) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [2, 3])
def test_large_graphs_are_worked_out_in_parts(k, monkeypatch):
    collaborators, _ = graph()
    mechanism = MECHANISMS["stratified, unequal"]
    whole = bc.exposure.exposure_probabilities(collaborators, bc.exposure.AtLeast(k), mechanism)
    monkeypatch.setattr("bayescluster.exposure.probability_of_exposure.BLOCK_ELEMENTS", 7)
    parts = bc.exposure.exposure_probabilities(collaborators, bc.exposure.AtLeast(k), mechanism)
    assert np.array_equal(parts.condition, whole.condition)
    drawn = [
        bc.exposure.exposure_probabilities(
            collaborators, bc.exposure.ShareAbove(0.3), mechanism, method="enumeration"
        )
    ]
    monkeypatch.undo()
    drawn.append(
        bc.exposure.exposure_probabilities(
            collaborators, bc.exposure.ShareAbove(0.3), mechanism, method="enumeration"
        )
    )
    assert np.array_equal(drawn[0].condition, drawn[1].condition)


# --- drawing given some clusters ---------------------------------------------------------------


@pytest.mark.parametrize("fixed", [[0, 1, 4], [2], [0, 1, 2, 3, 5]])
@pytest.mark.parametrize("name", [*MECHANISMS, *(n for n in OTHERS if n != "custom")])
def test_draws_given_some_clusters_have_the_conditional_law(name, fixed):
    """Chi-square against the enumerated conditional law, at level 1e-4 a case (fixed seed)."""
    mechanism, (patterns, weight) = {**MECHANISMS, **OTHERS}[name], law(name)
    given = patterns[len(patterns) // 3]
    held = np.isin(np.arange(J), fixed)
    possible = (patterns[:, held] == given[held]).all(axis=1)
    expected = weight[possible] / weight[possible].sum()
    draws = 20_000
    drawn = mechanism.draw_given(np.random.default_rng(2), draws, held, np.where(held, given, True))
    assert drawn.shape == (draws, J)
    assert (drawn[:, held] == given[held]).all()
    code = drawn @ (1 << np.arange(J))
    where = {int(p @ (1 << np.arange(J))): i for i, p in enumerate(patterns[possible])}
    counts = np.bincount([where[int(c)] for c in code], minlength=len(expected))
    if len(expected) > 1:
        # Merge what is expected less than five times.
        order = np.argsort(expected)
        few = order[np.cumsum(expected[order]) * draws < 5]
        merged = np.setdiff1d(order, few)
        o = [*counts[merged], *([counts[few].sum()] if len(few) else [])]
        e = [*expected[merged] * draws, *([expected[few].sum() * draws] if len(few) else [])]
        assert stats.chisquare(o, np.array(e) / sum(e) * draws).pvalue > 1e-4
    assert counts.sum() == draws


def test_draws_given_the_impossible_are_refused():
    held = np.arange(J) < 5
    with pytest.raises(
        bc.errors.DesignError, match="stratum 0 cannot have 3 treated clusters then"
    ):
        bc.assignment.Complete(J, 3).draw_given(np.random.default_rng(0), 5, held, held)
    with pytest.raises(
        bc.errors.DesignError, match="Custom cannot be drawn from given the assignment"
    ):
        OTHERS["custom"].draw_given(np.random.default_rng(0), 5, held, held)
    with pytest.raises(
        bc.errors.DesignError, match="drawn assignments meet the criterion; relax it"
    ):
        bc.assignment.Bernoulli(J, least=4).draw_given(np.random.default_rng(0), 5, held, held)
