"""Contrasts of exposure conditions against plain loops over users and over all assignments."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from exposures import condition_masks, enumerated

import bayescluster as bc
from bayescluster.data.conditions import GRAPH_CONDITIONS
from bayescluster.frequentist.exposure_contrasts import CONTRASTS

K = 6
ARMS = ("pure_control", "spillover", "direct", "direct_with_exposure")


def patterns_of(rule):
    return np.array([p for p in itertools.product((False, True), repeat=K) if rule(np.array(p))])


def one_each(*groups):
    return lambda p: all(p[list(group)].sum() == 1 for group in groups)


#: Mechanism, all its assignments, their probabilities.
MECHANISMS = {
    "complete": (bc.assignment.Complete(K, 3), patterns_of(lambda p: p.sum() == 3), None),
    "stratified": (
        bc.assignment.Stratified(np.array([0, 1] * 3), {0: 1, 1: 2}),
        patterns_of(lambda p: p[::2].sum() == 1 and p[1::2].sum() == 2),
        None,
    ),
    "pairs": (
        bc.assignment.Stratified(np.arange(K) // 2, {0: 1, 1: 1, 2: 1}),
        patterns_of(one_each((0, 1), (2, 3), (4, 5))),
        None,
    ),
    "coins": (bc.assignment.Bernoulli(K), patterns_of(lambda p: 2 <= p.sum() <= 4), None),
    "unfair coins": (
        bc.assignment.Bernoulli(K, chance=0.4),
        patterns_of(lambda p: 2 <= p.sum() <= 4),
        0.4,
    ),
}


@cache
def design(mechanism, interaction, mapping=None):
    """A graph of 50 users in 6 clusters on which every condition is always seen."""
    rng = np.random.default_rng(0)
    own = [i for i, j in itertools.permutations(range(K), 2)]
    other = [j for i, j in itertools.permutations(range(K), 2)]
    cluster = np.array([*own, *rng.integers(0, K, 20)])
    n = len(cluster)
    here = {c: np.flatnonzero(cluster == c) for c in range(K)}
    edges = [(user, rng.choice(here[j])) for user, j in enumerate(other)]
    # Ties go out only, so that each of the first thirty touches one other cluster.
    edges += [(u, v) for u in range(30, 44) for v in rng.integers(0, n, 2)]
    frame = pd.DataFrame(edges, columns=["from", "to"]).assign(w=1.0)
    users = pd.DataFrame({"user": np.arange(n), "cluster": cluster})
    options = bc.spec.ExposureSpec(direction="out")
    collaborators = bc.exposure.CollaborationGraph(frame, users, options=options).collaborators
    ties = {user: {} for user in range(n)}
    for a, b, w in frame.itertuples(index=False):
        if a != b:
            ties[a][b] = ties[a].get(b, 0.0) + w
    rule = mapping or bc.exposure.AtLeast()
    made, patterns, chance = MECHANISMS[mechanism]
    weight = np.ones(len(patterns))
    if chance is not None:
        weight = chance ** patterns.sum(axis=1) * (1 - chance) ** (K - patterns.sum(axis=1))
    weight = weight / weight.sum()
    masks = condition_masks(*enumerated(patterns, rule, ties, cluster, cluster))
    if not interaction:
        masks["direct"] = masks["direct"] | masks.pop("direct_with_exposure")
    exposures = [
        bc.Exposure.of(collaborators, pattern, rule, made, interaction=interaction)
        for pattern in patterns
    ]
    alike = {}
    for user in range(n):
        outside = sorted(int(cluster[o]) for o in ties[user] if cluster[o] != cluster[user])
        alike.setdefault((int(cluster[user]), *outside), []).append(user)
    return exposures, masks, weight, cluster, list(alike.values())


def outcomes(masks, seed, constant=None):
    """Potential outcomes of every user in every condition: {condition: (n,)}."""
    rng = np.random.default_rng(seed)
    n = len(masks["direct"])
    if constant is not None:
        return {name: np.full(n, constant) for name in masks}
    base = rng.normal(3, 1, n)
    return {name: base + rng.normal(i, 0.5, n) for i, name in enumerate(masks)}


def seen(masks, potential, b):
    """What is observed under assignment b."""
    y = np.zeros(len(masks["direct"]))
    for name, mask in masks.items():
        y[mask[:, b]] = potential[name][mask[:, b]]
    return y


class BruteForce:
    """Estimates and variances of one contrast by loops over users."""

    def __init__(self, masks, weight, cluster, alike, a, b, finite=None):
        self.masks, self.weight, self.cluster = masks, weight, cluster
        self.arms = (a, b)
        finite = np.ones(len(cluster), bool) if finite is None else finite
        self.p = {c: masks[c] @ weight for c in (a, b)}
        self.users = [
            i for i in range(len(cluster)) if finite[i] and self.p[a][i] > 0 and self.p[b][i] > 0
        ]
        self.sets = [[i for i in group if i in self.users] for group in alike]
        self.sets = [group for group in self.sets if group]

    def joint(self, i, c, j, d):
        both = self.masks[c][i] & self.masks[d][j]
        return float(self.weight[both].sum())

    def mean(self, c, y, b, kind):
        inside = [i for i in self.users if self.masks[c][i, b]]
        total = sum(y[i] / self.p[c][i] for i in inside)
        size = sum(1 / self.p[c][i] for i in inside)
        return total / (len(self.users) if kind == "horvitz_thompson" else size)

    def estimate(self, y, b, kind):
        a, c = self.arms
        return self.mean(a, y, b, kind) - self.mean(c, y, b, kind)

    def truth(self, potential):
        a, b = self.arms
        return float(np.mean([potential[a][i] - potential[b][i] for i in self.users]))

    def variance(self, y, b, kind, bound):
        """Aronow & Samii (2017), eq. 7 to 11, over users; or over sets of like users."""
        units = [[i] for i in self.users] if bound == "pairwise" else self.sets
        value, inside, p, home = {}, {}, {}, [int(self.cluster[unit[0]]) for unit in units]
        for c in self.arms:
            centre = self.mean(c, y, b, kind) if kind == "hajek" else 0.0
            value[c] = [sum(y[i] - centre for i in unit) for unit in units]
            inside[c] = [bool(self.masks[c][unit[0], b]) for unit in units]
            p[c] = [self.p[c][unit[0]] for unit in units]
        apart = bound == "cluster" and self.arms[0].startswith("direct")
        total, m = 0.0, len(units)
        for c, d in itertools.product(self.arms, repeat=2):
            sign = 1 if c == d else -1
            for g, h in itertools.product(range(m), repeat=2):
                if g == h and c == d:
                    if inside[c][g]:
                        total += (1 - p[c][g]) * (value[c][g] / p[c][g]) ** 2
                    continue
                both = self.joint(units[g][0], c, units[h][0], d)
                if both > 0:
                    if inside[c][g] and inside[d][h]:
                        covariance = (both - p[c][g] * p[d][h]) / both
                        total += sign * covariance * value[c][g] * value[d][h] / (p[c][g] * p[d][h])
                    continue
                if c != d and apart and home[g] == home[h]:
                    continue  # the whole cluster is bounded at once, below
                for cc, k in ((c, g), (d, h)):
                    if inside[cc][k]:
                        total += value[cc][k] ** 2 / (2 * p[cc][k])
        if apart:
            for c, u in itertools.product(self.arms, sorted(set(home))):
                for g, h in itertools.product(range(m), repeat=2):
                    if home[g] != u or home[h] != u:
                        continue
                    both = self.joint(units[g][0], c, units[h][0], c)
                    if both > 0 and inside[c][g] and inside[c][h]:
                        total += value[c][g] * value[c][h] / both
                    if both == 0:
                        for k in (g, h):
                            if inside[c][k]:
                                total += value[c][k] ** 2 / (2 * p[c][k])
        return total / len(self.users) ** 2


def brute_forces(masks, weight, cluster, alike, finite=None):
    terms = [t for t in CONTRASTS if CONTRASTS[t][0] in masks]
    return {t: BruteForce(masks, weight, cluster, alike, *CONTRASTS[t], finite) for t in terms}


@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_estimates_equal_loops_and_horvitz_thompson_is_unbiased(mechanism, interaction):
    exposures, masks, weight, cluster, alike = design(mechanism, interaction)
    potential = outcomes(masks, 1)
    brute = brute_forces(masks, weight, cluster, alike)
    total = dict.fromkeys(brute, 0.0)
    for b, exposure in enumerate(exposures):
        y = seen(masks, potential, b)
        for kind in ("horvitz_thompson", "hajek"):
            found = bc.frequentist.exposure_contrast(exposure, y, kind, min_probability=0, draws=2)
            assert found.terms == tuple(brute)
            expected = [one.estimate(y, b, kind) for one in brute.values()]
            assert found.estimate.tolist() == pytest.approx(expected, rel=1e-11)
            assert found.n_users.tolist() == [len(one.users) for one in brute.values()]
            assert found.n_apart.tolist() == [50 - len(one.users) for one in brute.values()]
            if kind == "horvitz_thompson":
                for term, estimate in zip(found.terms, found.estimate, strict=True):
                    total[term] += weight[b] * estimate
    for term, one in brute.items():
        assert total[term] == pytest.approx(one.truth(potential), rel=1e-11)
        assert 10 < len(one.users) <= 50


@pytest.mark.parametrize("bound", ["pairwise", "cluster"])
@pytest.mark.parametrize("kind", ["horvitz_thompson", "hajek"])
@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_variances_equal_loops(mechanism, interaction, kind, bound):
    exposures, masks, weight, cluster, alike = design(mechanism, interaction)
    potential = outcomes(masks, 2)
    b = len(exposures) // 3
    y = seen(masks, potential, b)
    found = bc.frequentist.exposure_contrast(exposures[b], y, kind, min_probability=0, bound=bound)
    brute = brute_forces(masks, weight, cluster, alike)
    expected = [one.variance(y, b, kind, bound) for one in brute.values()]
    assert found.variance.tolist() == pytest.approx(expected, rel=1e-9)
    assert (
        found.variance_method == f"Aronow-Samii ({bound} bound), joint probabilities: closed form"
    )
    # Enumerated joint probabilities, of a mapping without a closed form: the same conditions.
    same = bc.exposure.CustomMapping(lambda t, arm: (t.matrix("clusters") @ arm.astype(float)) > 0)
    again = bc.Exposure.of(
        exposures[b].collaborators,
        exposures[b].assignment,
        same,
        exposures[b].mechanism,
        interaction=interaction,
        draws=2_000,
    )
    if bound == "pairwise" and mechanism != "unfair coins":
        other = bc.frequentist.exposure_contrast(again, y, kind, min_probability=0, bound=bound)
        assert other.variance == pytest.approx(found.variance, rel=1e-9)
        assert other.variance_method.endswith("joint probabilities: enumeration")


@pytest.mark.parametrize("bound", ["pairwise", "cluster"])
@pytest.mark.parametrize("interaction", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_variances_are_conservative(mechanism, interaction, bound):
    """Their expectation over all assignments is no less than the variance of Horvitz-Thompson."""
    exposures, masks, weight, *_ = design(mechanism, interaction)
    for seed in (3, 4):
        potential = outcomes(masks, seed)
        found = [
            bc.frequentist.exposure_contrast(
                exposure,
                seen(masks, potential, b),
                "horvitz_thompson",
                min_probability=0,
                bound=bound,
            )
            for b, exposure in enumerate(exposures)
        ]
        estimate = np.array([one.estimate for one in found])
        true = weight @ (estimate - weight @ estimate) ** 2
        mean = weight @ np.array([one.variance for one in found])
        assert (mean >= true * (1 - 1e-12)).all()
        assert (mean < 100 * true).all()  # of its order, not merely large


def test_the_bound_by_clusters_is_the_smaller_one_where_clusters_are_large():
    exp = experiment()
    pairwise, cluster = (
        bc.frequentist.hajek(exp, bound=bound).variance for bound in ("pairwise", "cluster")
    )
    assert cluster[0] < 0.8 * pairwise[0]
    assert cluster[1] == pytest.approx(pairwise[1], rel=0.5)  # spillover: sets of like users only


@pytest.mark.parametrize("bound", ["pairwise", "cluster"])
def test_variances_are_unbiased_where_the_bound_is_sharp(bound):
    """Eight clusters, users for thirty of the ordered pairs of them, one outcome for all.

    No two users exclude each other in one arm, and y_i y_j = (y_i^2 + y_j^2) / 2 for those who
    exclude each other in two: the variance of the direct effect is then estimated without bias.
    With an effect it is overstated.
    """
    every = np.array(list(itertools.permutations(range(8), 2)))
    pairs = every[np.random.default_rng(0).permutation(56)[:30]]
    assert len(np.unique(pairs[:, 0])) == 8
    cluster = np.array([i for i, _ in pairs])
    first = {c: int(np.argmax(cluster == c)) for c in range(8)}
    edges = pd.DataFrame({"from": np.arange(30), "to": [first[j] for _, j in pairs]})
    users = pd.DataFrame({"user": np.arange(30), "cluster": cluster})
    options = bc.spec.ExposureSpec(direction="out")
    collaborators = bc.exposure.CollaborationGraph(edges, users, options=options).collaborators
    mechanism = bc.assignment.Complete(8, 4)
    for effect, equal in ((0.0, True), (1.0, False)):
        found = []
        for pattern in mechanism.enumerate():
            exposure = bc.Exposure.of(collaborators, pattern, bc.exposure.AtLeast(), mechanism)
            y = 2.0 + effect * exposure.treated
            found.append(
                bc.frequentist.exposure_contrast(
                    exposure, y, "horvitz_thompson", min_probability=0, bound=bound
                )
            )
        assert len(found) == 70
        true = np.var([one.estimate[0] for one in found])
        mean = np.mean([one.variance[0] for one in found])
        assert true > 1e-3
        assert min(one.variance[0] for one in found) < 0  # no interval, rather than one of no width
        for one in found:
            assert np.isnan(one.std_error[0]) == (one.variance[0] < 0)
            table = one.to_dataframe()[["std_error", "ci_lower", "ci_upper", "p_value"]]
            assert table.iloc[0].isna().all() == (one.variance[0] < 0)
        if equal:
            assert mean == pytest.approx(true, rel=1e-9)
        else:
            assert mean > true * 1.0001


@pytest.mark.parametrize("kind", ["horvitz_thompson", "hajek"])
@pytest.mark.parametrize("mechanism", ["complete", "stratified", "unfair coins"])
def test_drawn_variances_equal_the_exact_ones_under_constant_effects(mechanism, kind):
    """Within five Monte Carlo errors of a variance, sqrt((kurtosis - 1) / draws) of it."""
    exposures, masks, weight, cluster, alike = design(mechanism, False)
    base = np.random.default_rng(6).normal(3, 1, 50)
    potential = {name: base + 0.4 * i for i, name in enumerate(masks)}
    b, draws = 2, 4_000
    y = seen(masks, potential, b)
    found = bc.frequentist.exposure_contrast(
        exposures[b], y, kind, min_probability=0, variance="drawn", draws=draws, seed=1
    )
    assert found.variance_method == (
        "4,000 drawn assignments of outcomes imputed under constant effects"
    )
    # What is imputed: each outcome moved by the differences of the observed Hajek means.
    means = {}
    for name, mask in masks.items():
        p = mask @ weight
        inside = [i for i in range(50) if mask[i, b]]
        means[name] = sum(y[i] / p[i] for i in inside) / sum(1 / p[i] for i in inside)
    level = np.zeros(50)
    for name, mask in masks.items():
        level[mask[:, b]] = means[name]
    imputed = {name: y - level + means[name] for name in masks}
    for term, one in brute_forces(masks, weight, cluster, alike).items():
        estimates = np.array(
            [one.estimate(seen(masks, imputed, c), c, kind) for c in range(len(weight))]
        )
        centred = estimates - weight @ estimates
        exact = weight @ centred**2
        kurtosis = weight @ centred**4 / exact**2
        at = found.terms.index(term)
        error = exact * math.sqrt((kurtosis - 1) / draws)
        assert found.variance[at] == pytest.approx(exact, abs=5 * error)
        assert error < 0.04 * exact


def test_like_users_of_a_custom_mapping_are_not_taken_for_one():
    """A user's own function may tell apart users who touch the same clusters."""
    exposures, *_, alike = design("complete", False)
    base = exposures[4]
    first = np.zeros(50, dtype=bool)
    first[[group[0] for group in alike]] = True

    def some(collaborators, arm):
        return ((collaborators.matrix("clusters") @ arm.astype(float)) > 0) & first

    mapping = bc.exposure.CustomMapping(some)
    exposure = bc.Exposure.of(base.collaborators, base.assignment, mapping, base.mechanism)
    patterns = MECHANISMS["complete"][1]
    treated = patterns[:, base.collaborators.unit].T
    value = np.column_stack([some(base.collaborators, pattern) for pattern in patterns]).astype(
        float
    )
    told = condition_masks(value, treated)
    told["direct"] = told["direct"] | told.pop("direct_with_exposure")
    weight = np.full(20, 1 / 20)
    y = np.random.default_rng(7).normal(2, 1, 50)
    singles = [[i] for i in range(50)]
    brute = brute_forces(told, weight, base.collaborators.cluster, singles)
    for bound in ("pairwise", "cluster"):
        found = bc.frequentist.exposure_contrast(
            exposure, y, "horvitz_thompson", min_probability=0, bound=bound
        )
        expected = [one.variance(y, 4, "horvitz_thompson", bound) for one in brute.values()]
        assert found.variance.tolist() == pytest.approx(expected, rel=1e-9)


def test_missing_outcomes_are_left_out():
    exposures, masks, weight, cluster, alike = design("complete", False)
    y = seen(masks, outcomes(masks, 8), 3)
    missing = np.arange(50) % 7 == 0
    brute = brute_forces(masks, weight, cluster, alike, finite=~missing)
    found = bc.frequentist.exposure_contrast(
        exposures[3], np.where(missing, np.nan, y), min_probability=0, bound="pairwise"
    )
    expected = [one.estimate(y, 3, "hajek") for one in brute.values()]
    assert found.estimate.tolist() == pytest.approx(expected, rel=1e-11)
    expected = [one.variance(y, 3, "hajek", "pairwise") for one in brute.values()]
    assert found.variance.tolist() == pytest.approx(expected, rel=1e-9)
    assert (found.n_users + found.n_apart).tolist() == [42, 42]


def test_improbable_conditions_are_set_apart_and_told():
    exposures, masks, weight, *_ = design("complete", False)
    y = seen(masks, outcomes(masks, 9), 3)
    exposure = exposures[3]
    p = {name: mask @ weight for name, mask in masks.items()}
    for least in (0.0, 0.1, 0.19):
        found = bc.frequentist.exposure_contrast(exposure, y, min_probability=least)
        for at, (a, b) in enumerate([("direct", "pure_control"), ("spillover", "pure_control")]):
            lowest = np.minimum(p[a], p[b])
            used = (lowest > 0) & (lowest >= least)
            assert found.n_users[at] == used.sum()
            mean = {}
            for name in (a, b):
                inside = used & masks[name][:, 3]
                mean[name] = np.average(y[inside], weights=1 / p[name][inside])
            assert found.estimate[at] == pytest.approx(mean[a] - mean[b], rel=1e-12)
    words = bc.frequentist.exposure_contrast(exposure, y, min_probability=0.19).estimand
    told = int(((np.minimum(p["spillover"], p["pure_control"])) >= 0.19).sum())
    assert words[1] == (
        f"spillover: mean over the {told} users who could have been in either condition with "
        f"probability 0.19 or more ({50 - told} could not, and are set apart)"
    )
    everybody = bc.frequentist.exposure_contrast(exposure, y, min_probability=0).estimand[0]
    assert everybody == "direct: mean over the 50 users who could have been in either condition"


def test_the_table_has_the_columns_of_all_results():
    exposures, masks, *_ = design("complete", True)
    y = seen(masks, outcomes(masks, 9), 3)
    found = bc.frequentist.exposure_contrast(exposures[3], y, ci_prob=0.9)
    table = found.to_dataframe()
    assert table["term"].tolist() == ["direct", "spillover", "direct_with_exposure"]
    assert table["method"].unique().tolist() == ["Hajek (Aronow-Samii)"]
    half = 1.6448536269514722 * np.sqrt(found.variance)
    assert table["ci_lower"].to_numpy() == pytest.approx(found.estimate - half, rel=1e-12)
    assert table["ci_upper"].to_numpy() == pytest.approx(found.estimate + half, rel=1e-12)
    assert (
        bc.frequentist.exposure_contrast(exposures[3], y, "horvitz_thompson").method
        == "Horvitz-Thompson (Aronow-Samii)"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "ratio"}, "kind must be one of hajek, horvitz_thompson; given 'ratio'"),
        ({"variance": "none"}, "variance must be one of auto, aronow_samii, drawn; given 'none'"),
        ({"bound": "user"}, "bound must be one of cluster, pairwise; given 'user'"),
        ({"min_probability": 1}, r"min_probability must lie in \[0, 1\); given 1"),
        ({"min_probability": -0.1}, r"min_probability must lie in \[0, 1\); given -0.1"),
        ({"y": np.zeros(49)}, r"y has shape \(49,\), where an outcome for each of 50 users"),
        ({"variance": "drawn", "draws": 1}, "draws must be at least 2; given 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    exposures, *_ = design("complete", False)
    with pytest.raises(ValueError, match=message):
        bc.frequentist.exposure_contrast(exposures[0], **{"y": np.zeros(50), **settings})


def test_contrasts_that_the_design_cannot_make_are_refused():
    exposures, *_ = design("complete", False)
    with pytest.raises(
        bc.errors.DesignError, match="no user could have been in condition 'direct' "
    ):
        bc.frequentist.exposure_contrast(exposures[0], np.zeros(50), min_probability=0.6)
    pure = exposures[0].condition == GRAPH_CONDITIONS.index("pure_control")
    with pytest.raises(
        bc.errors.DesignError, match="users who could be in condition 'pure_control' is in"
    ):
        bc.frequentist.exposure_contrast(
            exposures[0], np.where(pure, np.nan, 1.0), min_probability=0
        )


# --- regressions -------------------------------------------------------------------------------


@cache
def experiment(mapping="any", strata=False, covariates=()):
    scenario = bc.simulate.GraphScenario(
        n_clusters=10, cluster_size=30, local_ties=1.5, bridge_ties=3, within_ties=1
    )
    edges, users = scenario.simulate(3)
    spec = bc.ModelSpec(
        design={
            "cluster": "workspace",
            "treatment": "treated",
            "spillover": "s",
            "unit": "user",
            "strata": "block" if strata else None,
            "mechanism": "complete" if strata else None,
        },
        outcome={"column": "outcome", "covariates": covariates},
        exposure={"mapping": mapping},
    )
    users["block"] = users["workspace"] // 5
    users["age"] = np.random.default_rng(1).normal(40, 10, len(users))
    return bc.expose(edges, users, spec).experiment()


def rows_of(exp, *extra):
    """Outcome, weights and columns, row by row from the users' table."""
    data = exp.exposure.data.merge(
        exp.exposure.to_dataframe().drop(columns=["treated", "spillover", "expected_exposure"]),
        on="user",
    )
    X = np.column_stack([np.ones(len(data)), data["treated"], data["s"], *(data[c] for c in extra)])
    return data, X.astype(float), data["outcome"].to_numpy()


def test_weighted_regression_equals_hajek_where_all_can_be_in_every_condition():
    exp = experiment()
    p = exp.exposure.probabilities.condition
    p = np.column_stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]])
    used = (p > 0).all(axis=1)
    assert 150 < used.sum() < 300
    y = np.where(used, exp.outcomes(), np.nan)
    hajek = bc.frequentist.exposure_contrast(exp.exposure, y, min_probability=0)
    ols = bc.frequentist.exposure_weighted_ols(exp, min_probability=0)
    assert list(ols.terms) == ["intercept", "direct", "spillover"]
    assert ols.estimate[1:].tolist() == pytest.approx(hajek.estimate.tolist(), rel=1e-10)


@pytest.mark.parametrize("least", [0.0, 0.05])
def test_weighted_regression_equals_statsmodels_and_cr2_its_formula(least):
    exp = experiment()
    data, X, y = rows_of(exp)
    p = data[[f"probability_{c}" for c in ARMS]].to_numpy()
    p = np.column_stack([p[:, 0], p[:, 1], p[:, 2] + p[:, 3]])
    used = (p > 0).all(axis=1) & (p.min(axis=1) >= least)
    at = np.where(data["treated"] == 1, 2, np.where(data["s"] > 0, 1, 0))
    weight = 1 / p[np.arange(len(p)), at]
    fit = sm.WLS(y[used], X[used], weights=weight[used]).fit()
    ols = bc.frequentist.exposure_weighted_ols(exp, min_probability=least)
    assert ols.estimate.tolist() == pytest.approx(fit.params.tolist(), rel=1e-9)
    root = np.sqrt(weight[used])
    Z, e = X[used] * root[:, None], fit.resid * root
    inverse, meat = np.linalg.inv(Z.T @ Z), np.zeros((3, 3))
    team = data["workspace"].to_numpy()[used]
    for g in np.unique(team):
        rows = team == g
        values, vectors = np.linalg.eigh(np.eye(rows.sum()) - Z[rows] @ inverse @ Z[rows].T)
        half = (vectors / np.sqrt(values)) @ vectors.T
        score = Z[rows].T @ half @ e[rows]
        meat += np.outer(score, score)
    expected = np.sqrt(np.diag(inverse @ meat @ inverse))
    assert ols.std_error.tolist() == pytest.approx(expected.tolist(), rel=1e-7)


def test_weighted_regression_absorbs_strata():
    exp = experiment(strata=True)
    data, X, y = rows_of(exp)
    X = np.column_stack([X, data["block"] == 1]).astype(float)
    p = exp.exposure.probability[data["user"]]
    can = data[[f"probability_{c}" for c in ARMS[:2]]].min(axis=1).to_numpy() >= 0.01
    fit = sm.WLS(y[can], X[can], weights=1 / p[can]).fit()
    found = bc.frequentist.exposure_weighted_ols(exp)
    assert found.estimate[-2:].tolist() == pytest.approx(fit.params[1:3].tolist(), rel=1e-9)


def test_weighted_regression_refuses_conditions_without_users():
    with pytest.raises(
        bc.errors.DesignError, match=r"none of the .* is in condition 'direct'; lower"
    ):
        bc.frequentist.exposure_weighted_ols(experiment(), min_probability=0.5)


@pytest.mark.parametrize("covariates", [(), ("age",)])
@pytest.mark.parametrize("mapping", ["any", "share"])
def test_recentred_regression_equals_least_squares(mapping, covariates):
    exp = experiment(mapping, covariates=covariates)
    _, X, y = rows_of(exp, *covariates, "expected_exposure")
    expected, *_ = np.linalg.lstsq(X, y, rcond=None)
    found = bc.frequentist.recentred_ols(exp)
    assert found.terms[1:3] == ("direct", "spillover")
    assert found.estimate[1:3].tolist() == pytest.approx(expected[1:3].tolist(), rel=1e-9)
    assert found.method == "recentred OLS, CR2"
    # Named among the covariates already, it is the two-exposure regression.
    named = experiment(mapping, covariates=(*covariates, "expected_exposure"))
    assert bc.two_exposure(named).estimate == pytest.approx(found.estimate, rel=1e-12)
    # Subtracting it is the same estimand, by another regressor.
    assert abs(expected[2] - bc.two_exposure(exp).estimate[2]) > 1e-3


def test_estimators_of_a_graph_need_one():
    data = pd.DataFrame({"c": np.arange(40) // 5, "y": np.random.default_rng(0).normal(size=40)})
    data["t"] = data["c"] % 2
    data["s"] = (1 - data["t"]) * (np.arange(40) % 3 == 0)
    design_ = {"cluster": "c", "treatment": "t", "spillover": "s"}
    exp = bc.Experiment(data, bc.ModelSpec(design=design_, outcome={"column": "y"}))
    for estimator in (
        bc.frequentist.hajek,
        bc.frequentist.horvitz_thompson,
        bc.frequentist.exposure_weighted_ols,
        bc.frequentist.recentred_ols,
    ):
        with pytest.raises(bc.errors.DataError, match="this experiment has no collaboration graph"):
            estimator(exp)


def test_contrasts_of_an_experiment_are_those_of_its_exposure():
    exp = experiment()
    for estimator, kind in (
        (bc.frequentist.hajek, "hajek"),
        (bc.frequentist.horvitz_thompson, "horvitz_thompson"),
    ):
        found = estimator(exp, min_probability=0.02)
        y = exp.exposure.source.sort_values("user")["outcome"].to_numpy()
        same = bc.frequentist.exposure_contrast(exp.exposure, y, kind, min_probability=0.02)
        assert found.estimate.tolist() == same.estimate.tolist()
        assert found.variance.tolist() == same.variance.tolist()
