"""Averages over users and over clusters by least squares, against means computed by hand."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc
from bayescluster.frequentist.average_regression import average_effects, average_moments, differs


def table(seed=1, clusters=30, spread=1.0):
    """Users of clusters whose effects go with size, in strata of six clusters."""
    rng = np.random.default_rng(seed)
    size = np.maximum(3, np.round(30 * rng.lognormal(0, spread, clusters))).astype(int)
    stratum = np.arange(clusters) // 6
    treated = np.concatenate([rng.permutation(6) < 2 + s % 3 for s in range(clusters // 6)])
    of = np.repeat(np.arange(clusters), size)
    log_size = np.log(size) - np.log(size).mean()
    exposed = ~treated[of] & (rng.random(len(of)) < 0.4)
    level = rng.normal(0, 0.5, clusters) + treated * (0.5 - 0.3 * log_size)
    return pd.DataFrame(
        {
            "team": of,
            "treated": treated[of].astype(int),
            "exposed": exposed.astype(float),
            "stratum": stratum[of],
            "staff": (size + 5)[of],
            "y": level[of] + exposed * (0.4 - 0.2 * log_size[of]) + rng.normal(0, 1, len(of)),
        }
    )


def experiment(data, estimand="user", **design):
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"} | design,
        outcome={"column": "y"},
        report={"estimand": estimand},
    )
    return bc.Experiment(data, spec)


def row(found, term="direct"):
    return found.to_dataframe().set_index("term").loc[term]


def test_the_average_over_clusters_is_the_difference_of_cluster_means_with_hc2():
    data = table()
    found = row(average_effects(experiment(data), "cluster"))
    means = data.groupby("team").agg(treated=("treated", "first"), y=("y", "mean"))
    one, other = means["y"][means["treated"] == 1], means["y"][means["treated"] == 0]
    assert found["estimate"] == pytest.approx(one.mean() - other.mean(), abs=1e-12)
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    assert found["std_error"] == pytest.approx(error, abs=1e-12)
    # Bell and McCaffrey's degrees of freedom, of two means with equal variances.
    a, b = 1 / len(one), 1 / len(other)
    df = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    assert found["df"] == pytest.approx(df, rel=1e-9)


def test_equal_arms_leave_two_degrees_of_freedom_fewer_than_clusters():
    data = table()
    data["treated"] = data["team"] % 2
    assert row(average_effects(experiment(data), "cluster"))["df"] == pytest.approx(28)


def test_the_average_over_users_is_the_difference_of_means():
    data = table()
    exp = experiment(data)
    arms = data.groupby("treated")["y"].mean()
    assert row(average_effects(exp, "user"))["estimate"] == pytest.approx(arms[1] - arms[0])
    assert not differs(exp, "user")
    assert differs(exp, "cluster")


@pytest.mark.parametrize("average", ["user", "cluster"])
def test_with_strata_their_contrasts_count_by_users_or_clusters(average):
    data = table()
    found = row(average_effects(experiment(data, strata="stratum"), average))["estimate"]
    cells = data.groupby(["stratum", "team", "treated"])["y"].agg(["mean", "size"]).reset_index()
    total = 0.0
    for _, part in cells.groupby("stratum"):
        weight = part["size"] if average == "user" else pd.Series(1.0, part.index)
        on = part["treated"] == 1
        contrast = np.average(part["mean"][on], weights=weight[on]) - np.average(
            part["mean"][~on], weights=weight[~on]
        )
        total += weight.sum() * contrast
    n = len(data) if average == "user" else len(cells)
    assert found == pytest.approx(total / n, abs=1e-12)


def test_pairs_of_unequal_sizes_give_the_average_that_dummies_miss():
    """Two pairs without noise: large clusters gain nothing, small ones 1."""
    size = {0: 90, 1: 10, 2: 20, 3: 20}
    effect = {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0}
    data = pd.concat(
        pd.DataFrame({"team": c, "treated": c % 2, "stratum": c // 2, "y": effect[c] * (c % 2)},
                     index=range(n))
        for c, n in size.items()
    )  # fmt: skip
    data["y"] += np.tile([-1e-3, 1e-3], len(data) // 2)
    exp = experiment(data, strata="stratum")
    truth = 40 / 140
    assert row(average_effects(exp, "user"))["estimate"] == pytest.approx(truth)
    dummies = row(bc.two_exposure(exp))["estimate"]
    assert dummies == pytest.approx(10 / (9 + 10))  # by the product of the arms' shares: 9 and 10
    assert row(average_effects(exp, "cluster"))["estimate"] == pytest.approx(0.5)


@pytest.mark.parametrize("average", ["user", "cluster"])
@pytest.mark.parametrize("strata", [None, "stratum"])
def test_with_spillover_it_is_a_weighted_regression_on_rows(average, strata):
    data = table()
    design = {"spillover": "exposed"} | ({"strata": strata} if strata else {})
    exp = experiment(data, **design)
    found = average_effects(exp, average)
    size = data.groupby("team")["y"].transform("size").to_numpy()
    weight = np.ones(len(data)) if average == "user" else 1 / size
    log_size = np.log(size) - np.average(np.log(size), weights=weight)
    x = data[["treated", "exposed"]].to_numpy(float)
    columns = [x, log_size[:, None], x * log_size[:, None]]
    if strata:
        arms = pd.Series(weight).groupby([data["stratum"], data["treated"]]).transform("sum")
        weight = weight * pd.Series(weight).groupby(data["stratum"]).transform("sum") / arms
        columns.append(pd.get_dummies(data["stratum"]).to_numpy(float))
    else:
        columns.append(np.ones((len(data), 1)))
    root = np.sqrt(np.asarray(weight))[:, None]
    expected = np.linalg.lstsq(np.hstack(columns) * root, data["y"].to_numpy() * root[:, 0])[0]
    terms = found.to_dataframe().set_index("term")["estimate"]
    assert terms[["direct", "spillover"]].to_numpy() == pytest.approx(expected[:2], abs=1e-10)


def test_an_effect_linear_in_log_size_is_recovered_without_noise():
    data = table()
    size = data.groupby("team")["y"].transform("size").to_numpy()
    log_size = np.log(size)
    direct, spillover = 1 - 0.3 * log_size, 0.5 + 0.2 * log_size
    noise = np.random.default_rng(3).normal(0, 1e-7, len(data))
    data["y"] = data["treated"] * direct + data["exposed"] * spillover + noise
    clusters = data.assign(direct=direct, spillover=spillover).groupby("team").first()
    exp = experiment(data, spillover="exposed")
    for average, truth in (
        ("user", {"direct": direct.mean(), "spillover": spillover.mean()}),
        ("cluster", clusters[["direct", "spillover"]].mean().to_dict()),
    ):
        found = average_effects(exp, average).to_dataframe().set_index("term")["estimate"]
        assert {name: found[name] for name in truth} == pytest.approx(truth, abs=1e-5)


def test_sizes_before_treatment_are_the_weights_where_given():
    data = table()
    found = row(average_effects(experiment(data, size="staff"), "user"))["estimate"]
    means = data.groupby("team").agg(
        treated=("treated", "first"), y=("y", "mean"), n=("staff", "first")
    )
    on = means["treated"] == 1
    by_hand = np.average(means["y"][on], weights=means["n"][on]) - np.average(
        means["y"][~on], weights=means["n"][~on]
    )
    assert found == pytest.approx(by_hand, abs=1e-12)


def test_a_stratum_with_one_arm_leaves_the_average_over_the_others():
    data = table()
    data = data[(data["stratum"] > 0) | (data["treated"] == 1)]
    found = row(average_effects(experiment(data, strata="stratum"), "user"))["estimate"]
    rest = data[data["stratum"] > 0]
    others = row(average_effects(experiment(rest, strata="stratum"), "user"))["estimate"]
    assert found == pytest.approx(others, abs=1e-12)


def test_nothing_changes_where_sizes_are_equal():
    data = table()
    equal = data.groupby("team").head(3)
    exp = experiment(equal, spillover="exposed")
    for average in ("user", "cluster"):
        assert not differs(exp, average)
        assert average_moments(exp, average) is exp.moments()


def test_comparisons_name_what_each_estimate_averages_over():
    data = table()
    for estimand in ("user", "cluster"):
        exp = experiment(data, estimand, spillover="exposed")
        found = bc.compare(exp, bc.fit_exact(exp, draws=500), bootstrap_draws=100)
        rows = found.estimates[found.estimates["term"] == "spillover"].set_index("method")
        averages = rows["average"]
        assert averages["two-exposure OLS, CR2"] == "neither"
        assert averages["OLS over users, CR2"] == "user"
        assert averages["OLS over clusters, CR2"] == "cluster"
        assert averages["wild cluster bootstrap (WCR, rademacher)"] == estimand
        assert averages[f"cluster bootstrap, OLS over {estimand}s"] == estimand
        assert averages["posterior"] == averages["posterior by integration"] == estimand
        assert set(found.agreement["average"]) == {estimand}
        by_bootstrap = rows.loc[f"cluster bootstrap, OLS over {estimand}s", "estimate"]
        assert by_bootstrap == rows.loc[f"OLS over {estimand}s, CR2", "estimate"]


def test_few_clusters_leave_sizes_out_of_least_squares():
    data = table(clusters=12)
    exp = experiment(data, spillover="exposed")
    assert exp.size_terms
    assert average_moments(exp, "user").names == ("direct", "spillover")
    assert not differs(exp, "user")
    assert differs(exp, "cluster")
