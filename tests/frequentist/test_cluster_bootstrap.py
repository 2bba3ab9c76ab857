"""The cluster bootstrap, against refitting the rows of every replicate."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import bayescluster as bc
from bayescluster.frequentist import bootstrap_weights as resampling


def refit(rows, regressors, weights=None):
    """Coefficients and CR0 standard errors, every draw its own cluster."""
    X = sm.add_constant(rows[regressors].astype(float), has_constant="add")
    fit = sm.OLS(rows["minutes"], X) if weights is None else sm.WLS(rows["minutes"], X, weights)
    groups = np.arange(len(rows)) if weights is not None else rows["draw"].to_numpy()
    options = {"groups": groups, "use_correction": False}
    fit = fit.fit(cov_type="cluster", cov_kwds=options)
    variance = np.maximum(np.diag(fit.cov_params()), 0)  # zero may come out as -1e-18
    return pd.DataFrame({"estimate": fit.params, "se": np.sqrt(variance)})


def by_rows(units, drawn, covariates):
    """Refit all four estimates on the rows of the drawn clusters, each draw its own cluster."""
    parts = [units[units["workspace"] == label].assign(draw=i) for i, label in enumerate(drawn)]
    rows = pd.concat(parts)
    columns = ["minutes", "treated", *covariates]
    means = rows.groupby("draw")[columns].mean().assign(n=rows.groupby("draw").size())
    two = refit(rows, ["treated", "exposed", *covariates])
    naive = refit(rows, ["treated", *covariates]).loc["treated"]
    wls = refit(means, ["treated", *covariates], means["n"]).loc["treated"]
    return np.array([two.loc["treated"], two.loc["exposed"], naive, wls]).T


@pytest.mark.parametrize("covariates", [[], ["age"]])
def test_equals_refitting_rows(units, spec, covariates):
    outcome = spec.outcome.model_copy(update={"covariates": tuple(covariates)})
    exp = bc.Experiment(units, spec.model_copy(update={"outcome": outcome}))
    labels, rng = units["workspace"].unique(), np.random.default_rng(3)
    with pytest.warns(UserWarning, match="lose an arm"):
        boot = bc.cluster_bootstrap(exp, draws=60, seed=3)
    for row, se in zip(boot.draws, boot.draws_std_error, strict=True):
        drawn = rng.choice(labels, size=8, replace=True)
        if np.isfinite(row).all():
            estimates, errors = by_rows(units, drawn, covariates)
            assert row == pytest.approx(estimates, rel=1e-8)
            assert se == pytest.approx(errors, rel=1e-6, abs=1e-7)
        else:
            arms = units.set_index("workspace")["treated"].groupby(level=0).first()[drawn]
            assert len(set(arms)) == 1 or len(set(drawn[arms == 0])) < 3


def test_blocks_do_not_change_the_draws(units, spec, monkeypatch):
    exp = bc.Experiment(units, spec)
    with pytest.warns(UserWarning, match="lose an arm"):
        whole = bc.cluster_bootstrap(exp, draws=500, seed=1).draws
    monkeypatch.setattr(resampling, "BLOCK_ELEMENTS", 8 * 33)
    with pytest.warns(UserWarning, match="lose an arm"):
        assert np.array_equal(bc.cluster_bootstrap(exp, draws=500, seed=1).draws, whole, True)


def test_weights_are_counts_within_strata():
    strata = np.array(["a", "b", "a", "c", "b", "a"])
    order = np.array([3, 0, 5, 1, 2, 4])
    weights = np.vstack(list(resampling.resampling_weights(order, strata, 400, 0)))
    assert weights.shape == (400, 6)
    for label, size in (("a", 3), ("b", 2), ("c", 1)):
        assert (weights[:, strata == label].sum(axis=1) == size).all()
    # Each cluster is expected once; its count in a stratum of 3 has variance 2/3.
    error = np.sqrt(2 / 3 / 400)
    assert np.abs(weights.mean(axis=0) - 1).max() < 4 * error


def test_replicates_that_lose_an_arm_are_counted(units, spec):
    """With 4 + 4 clusters, a replicate loses an arm with probability 2 x (1/2)^8."""
    exp = bc.Experiment(units, spec)
    with pytest.warns(UserWarning, match="bootstrap replicates lose an arm or all exposed units"):
        boot = bc.cluster_bootstrap(exp, draws=20_000, seed=0)
    lost = boot.undefined[boot.estimators.index("naive_ols")] / 20_000
    assert lost == pytest.approx(2 / 2**8, abs=4 * np.sqrt(2 / 2**8 / 20_000))
    assert np.isfinite(boot.ci).all()


def test_spread_is_the_sandwichs():
    """With many clusters the bootstrap SE approaches CR0; 400 clusters, 4,000 draws."""
    scenario = bc.simulate.Scenario(n_clusters=400, cluster_size=30, size_cv=0.3)
    exp = bc.Experiment.from_moments(scenario.simulate_moments(4), scenario.spec)
    boot = bc.cluster_bootstrap(exp, draws=4_000, seed=0)
    se = bc.two_exposure(exp, "CR0").std_error[1:]
    # Monte Carlo error of an SD from 4,000 draws is 1.1%; the rest is of order 1 / clusters.
    assert np.nanstd(boot.draws[:, :2], axis=0) == pytest.approx(se, rel=0.05)
    assert boot.column("spillover") is not None
    assert np.array_equal(boot.column("direct", "naive_ols"), boot.draws[:, 2])


def test_bad_arguments_are_refused(units, spec):
    with pytest.raises(ValueError, match="draws must be at least 2"):
        bc.cluster_bootstrap(bc.Experiment(units, spec), draws=1)


def test_intervals_by_their_definitions(units, spec):
    """Percentile-t and BCa from the draws, with the jackknife refitted on rows."""
    exp = bc.Experiment(units, spec)
    boot = bc.cluster_bootstrap(exp, draws=3_000, seed=5, within_arm=True)
    column = boot.estimators.index("naive_ols")
    assert boot.undefined[column] == 0  # no arm is ever lost
    draws, estimate = boot.draws[:, column], boot.estimate[column]
    fit = bc.naive_ols(exp, "CR0").to_dataframe().set_index("term").loc["direct"]
    assert boot.std_error[column] == pytest.approx(fit["std_error"], rel=1e-10)
    t = (draws - estimate) / boot.draws_std_error[:, column]
    t = t[boot.draws_std_error[:, column] > 1e-6 * fit["std_error"]]  # a zero SE has no t
    by_hand = estimate - fit["std_error"] * np.quantile(t, [0.975, 0.025])
    assert boot.interval("percentile-t")[column] == pytest.approx(by_hand, rel=1e-10)

    without = []
    for label in units["workspace"].unique():
        rest = units[units["workspace"] != label]
        arms = rest.groupby("treated")["minutes"].mean()
        without.append(arms[1] - arms[0])
    deviation = np.mean(without) - np.array(without)
    a = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    assert boot.acceleration[column] == pytest.approx(a, rel=1e-9)
    z0 = stats.norm.ppf((draws < estimate).mean() + (draws == estimate).mean() / 2)
    z = z0 + stats.norm.ppf([0.025, 0.975])
    by_hand = np.quantile(draws, stats.norm.cdf(z0 + z / (1 - a * z)))
    assert boot.interval("bca")[column] == pytest.approx(by_hand, rel=1e-10)
    assert boot.to_dataframe("bca")["method"].iloc[0].startswith("cluster bootstrap (bca), two")
    with pytest.raises(ValueError, match="kind must be one of percentile, percentile-t, bca"):
        boot.interval("basic")


def test_resampling_within_arms_and_strata_keeps_their_sizes(units, spec):
    design = spec.design.model_copy(update={"strata": "block"})
    units["block"] = units["workspace"].map(lambda w: "ab"[int(w[1:]) % 2])
    exp = bc.Experiment(units, spec.model_copy(update={"design": design}))
    groups = resampling.resampling_groups(exp, within_arm=True)
    weights = np.vstack(list(resampling.resampling_weights(exp.cluster_order, groups, 200, 0)))
    for block in "ab":
        for arm in (True, False):
            at = (exp.moments().strata == block) & (exp.treated == arm)
            assert (weights[:, at].sum(axis=1) == at.sum()).all()


def matched_pairs(pairs=40, alone=0, spillover=False):
    """Pairs of clusters; the last `alone` clusters are strata of their own."""
    rng = np.random.default_rng(0)
    c = np.repeat(np.arange(2 * pairs), 5)
    pair = np.where(c < 2 * pairs - alone, c // 2, c)
    frame = pd.DataFrame({"c": c, "pair": pair, "t": c % 2, "e": np.arange(len(c)) % 2})
    frame["e"] *= 1 - frame["t"]
    noise = rng.normal(size=2 * pairs)[c] + rng.normal(size=len(c))
    frame["y"] = rng.normal(0, 3, 2 * pairs)[pair] + frame["t"] + noise
    design = {"cluster": "c", "treatment": "t", "strata": "pair"}
    design |= {"spillover": "e"} if spillover else {}
    return bc.Experiment(frame, bc.ModelSpec(design=design, outcome={"column": "y"}))


def test_single_clusters_are_not_resampled_within_arms():
    message = r"an arm of 40 of 40 strata \(such as 0, 1, 2\) has one cluster"
    with pytest.raises(bc.errors.DesignError, match=message):
        bc.cluster_bootstrap(matched_pairs(), 100, within_arm=True)


def test_matched_pairs_are_resampled_within_pairs():
    """Half of the pairs keep a contrast; the spread is that of the mean of 40 differences."""
    exp = matched_pairs()
    boot = bc.cluster_bootstrap(exp, 4_000)
    means = exp.moments().mean[:, -1].reshape(40, 2)
    difference = means[:, 1] - means[:, 0]
    se = difference.std(ddof=1) / np.sqrt(40)
    # Monte Carlo error 1.1%; the random number of pairs left adds some 1 / 40.
    assert boot.draws[:, 0].std() == pytest.approx(se, rel=0.06)


def test_strata_of_one_cluster_are_warned_of_where_they_matter():
    with pytest.warns(UserWarning, match=r"2 of 42 strata \(such as 76, 78\) have one cluster"):
        # Only the two control clusters among the four hold spillover within them.
        bc.cluster_bootstrap(matched_pairs(alone=4, spillover=True), 50)
    bc.cluster_bootstrap(matched_pairs(alone=4), 50)


def test_strata_of_unequal_sizes_equal_refitting_rows():
    """Dummies of the strata in a dense regression, every draw its own cluster."""
    rng = np.random.default_rng(2)
    block_of = np.array([2, 0, 1, 0, 1, 2, 1, 2, 0, 1, 1, 1])
    c = np.repeat(np.arange(12), 7)
    frame = pd.DataFrame({"c": c, "b": block_of[c], "t": c // 3 % 2, "x": rng.normal(size=84)})
    frame["e"] = rng.binomial(1, 0.4, 84) * (1 - frame["t"])
    frame["y"] = frame["t"] + frame["b"] + rng.normal(size=12)[c] + rng.normal(size=84)
    spec = bc.ModelSpec(
        design={"cluster": "c", "treatment": "t", "strata": "b", "spillover": "e"},
        outcome={"column": "y", "covariates": ["x"]},
    )
    exp = bc.Experiment(frame, spec)
    boot = bc.cluster_bootstrap(exp, 40, seed=1)
    drawn = resampling.resampling_weights(exp.cluster_order, block_of, 40, 1)
    for count, row, se in zip(
        np.vstack(list(drawn)).astype(int), boot.draws, boot.draws_std_error, strict=True
    ):
        parts = [frame[frame["c"] == j] for j in np.repeat(np.arange(12), count)]
        rows = pd.concat(parts)
        draw = np.repeat(np.arange(12), 7)
        D = np.column_stack([rows[["t", "e", "x"]], pd.get_dummies(rows["b"])]).astype(float)
        options = {"groups": draw, "use_correction": False}
        fit = sm.OLS(rows["y"].to_numpy(), D).fit(cov_type="cluster", cov_kwds=options)
        assert row[:2] == pytest.approx(fit.params[:2], rel=1e-9)
        assert se[:2] == pytest.approx(fit.bse[:2], rel=1e-7)
