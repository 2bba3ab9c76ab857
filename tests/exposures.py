"""Small graphs and designs, their assignments one by one: oracles without the package's code."""

import itertools
import math

import numpy as np
import pandas as pd

import bayescluster as bc

#: Clusters of the small graphs.
J = 8
STRATA = np.array([2, 0, 1, 0, 1, 1, 2, 1])  # of 2, 4 and 2 clusters
PAIRS = np.array([3, 0, 1, 0, 2, 1, 2, 3])
BALANCE = np.array([0.3, -1.2, 0.8, 0.1, 1.5, -0.4, -0.9, 0.2])


def swapped(rng):
    """Treat every other cluster, and now and then the first half instead."""
    return np.arange(J) < J // 2 if rng.random() < 0.25 else np.arange(J) % 2 == rng.integers(2)


MECHANISMS = {
    "complete, 3 of 8": bc.assignment.Complete(J, 3),
    "complete, 4 of 8": bc.assignment.Complete(J, 4),
    "stratified, unequal": bc.assignment.Stratified(STRATA, {0: 1, 1: 3, 2: 1}),
    "pairs": bc.assignment.Stratified(PAIRS, dict.fromkeys(range(4), 1)),
    "coins": bc.assignment.Bernoulli(J, least=0),
    "coins, 1 an arm": bc.assignment.Bernoulli(J, least=1),
    "coins, 2 an arm": bc.assignment.Bernoulli(J, least=2),
    "unfair coins": bc.assignment.Bernoulli(J, least=0, chance=0.3),
    "unfair coins, 1 an arm": bc.assignment.Bernoulli(J, least=1, chance=0.3),
    "unfair coins, 2 an arm": bc.assignment.Bernoulli(J, least=2, chance=0.7),
}
OTHERS = {
    "rerandomised": bc.assignment.Rerandomised(bc.assignment.Complete(J, 4), BALANCE, 0.5),
    "rerandomised pairs": bc.assignment.Rerandomised(MECHANISMS["pairs"], BALANCE, 1.0),
    "custom": bc.assignment.Custom(J, swapped),
}


def law(name):
    """Every possible assignment and its probability: (B, J) and (B,), from all 2^J patterns."""
    patterns = np.array(list(itertools.product((False, True), repeat=J)))
    treated = patterns.sum(axis=1)
    weight = np.ones(len(patterns))
    words = name.split(", ")
    if "complete" in name or name == "rerandomised":
        weight = (treated == (3 if "3 of 8" in name else 4)).astype(float)
    if name == "stratified, unequal":
        for level, count in {0: 1, 1: 3, 2: 1}.items():
            weight *= patterns[:, level == STRATA].sum(axis=1) == count
    if "pairs" in name:
        for level in range(4):
            weight *= patterns[:, level == PAIRS].sum(axis=1) == 1
    if "coins" in name:
        least = int(words[1][0]) if len(words) > 1 else 0
        chance = 0.5 if words[0] == "coins" else 0.7 if least == 2 else 0.3
        weight = chance**treated * (1 - chance) ** (J - treated)
        weight *= (treated >= least) & (treated <= J - least)
    if "rerandomised" in name:
        limit = 1.0 if "pairs" in name else 0.5
        for b, arm in enumerate(patterns):
            if weight[b]:
                difference = BALANCE[arm].mean() - BALANCE[~arm].mean()
                weight[b] = 4 * 4 / 8 * difference**2 / BALANCE.var(ddof=1) <= limit
    if name == "custom":
        every_other = np.arange(J) % 2 == 1
        chances = [(every_other, 0.375), (~every_other, 0.375), (np.arange(J) < J // 2, 0.25)]
        weight = np.array([sum(p for arm, p in chances if (row == arm).all()) for row in patterns])
    kept = weight > 0
    return patterns[kept], weight[kept] / math.fsum(weight)


def small_graph(seed=0, size=3, ties=45):
    """Return the collaborators of users of 8 clusters, counted and as {user: {other: weight}}.

    The first user has no tie, the second one ties to every other cluster.
    """
    rng = np.random.default_rng(seed)
    n = J * size
    cluster = np.arange(n) % J
    pairs = rng.integers(1, n, (ties, 2)).tolist() + [[1, u] for u in range(1, n) if u != 1]
    edges = pd.DataFrame(pairs, columns=["from", "to"])
    edges["w"] = rng.integers(1, 9, len(edges)) / 4
    users = pd.DataFrame({"user": np.arange(n), "cluster": cluster})
    graph = bc.exposure.CollaborationGraph(edges, users, options=bc.spec.ExposureSpec(weight="w"))
    return graph.collaborators, neighbours(edges, n)


def neighbours(edges, n):
    """Each user's collaborators and the weight of the ties: {user: {other: weight}}."""
    found = {user: {} for user in range(n)}
    for a, b, w in edges.itertuples(index=False):
        if a != b:
            found[a][b] = found[a].get(b, 0.0) + w
            found[b][a] = found[b].get(a, 0.0) + w
    return found


def exposure_of(user, treated, mapping, ties, cluster):
    """One user's exposure by plain loops, given which users are treated."""
    inside = isinstance(mapping, bc.exposure.TreatedShare) and mapping.within
    around = {o: w for o, w in ties[user].items() if (cluster[o] == cluster[user]) == inside}
    if isinstance(mapping, bc.exposure.AtLeast):
        reached = [o for o in around if treated[o]]
        counted = reached if mapping.of == "collaborators" else {cluster[o] for o in reached}
        return float(len(counted) >= mapping.k)
    total = sum(around.values())
    share = sum(w for o, w in around.items() if treated[o]) / total if total else 0.0
    if isinstance(mapping, bc.exposure.ShareAbove):
        return float(share > mapping.threshold)
    return share


def enumerated(patterns, mapping, ties, cluster, unit):
    """Exposures of every user under every assignment, and who is treated: (n, B) each."""
    value = np.empty((len(cluster), len(patterns)))
    for b, pattern in enumerate(patterns):
        treated = pattern[unit]
        value[:, b] = [
            exposure_of(user, treated, mapping, ties, cluster) for user in range(len(cluster))
        ]
    return value, patterns[:, unit].T


def condition_masks(value, treated):
    """Who is in each of the four conditions: {name: (n, B)}."""
    return {
        "pure_control": ~treated & (value == 0),
        "spillover": ~treated & (value > 0),
        "direct": treated & (value == 0),
        "direct_with_exposure": treated & (value > 0),
    }
