"""The posterior of every family and design, against plain PyMC on rows with sampled intercepts.

Means, standard deviations and the bounds of the 95% interval of every parameter agree within four
Monte Carlo errors. Each case combines features that other cases do not have.
"""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from rows import regressors

import bayescluster as bc
from bayescluster.bayes.compiled_models import compiled_model, structure
from bayescluster.bayes.model_inputs import ModelKind, model_kind, resolved_priors

RUN = {"draws": 2_000, "tune": 1_000, "chains": 4}
ROLLOUT = {"level": "unit", "saturation": "share"}
CASES = {
    "bernoulli, strata, category, interaction, dose": {
        "design": {"spillover": "exposed", "interaction": True, "strata": "pair"},
        "outcome": {"family": "bernoulli", "covariates": ["plan"]},
    },
    "poisson, partial rollout, covariate": {
        "design": ROLLOUT,
        "outcome": {"family": "poisson", "covariates": ["age"]},
    },
    "negative binomial, by arm, spillover": {
        "design": {"spillover": "exposed"},
        "outcome": {"family": "negative_binomial"},
        "heterogeneity": {"between_sd_by_arm": True},
    },
    "student t, pre-period": {
        "design": {},
        "outcome": {"family": "student_t", "pre_period": "before"},
    },
    "lognormal, by arm, cluster-level covariate": {
        "design": {"spillover": "exposed"},
        "outcome": {"family": "lognormal", "covariates": ["cluster_size"]},
        "heterogeneity": {"between_sd_by_arm": True},
    },
    "gaussian, slopes of a partial rollout": {
        "design": ROLLOUT,
        "outcome": {"family": "gaussian"},
        "heterogeneity": {"slopes": ["direct"]},
    },
    "bernoulli, slopes of spillover": {
        "design": {"spillover": "exposed"},
        "outcome": {"family": "bernoulli"},
        "heterogeneity": {"slopes": ["spillover"]},
    },
}


def make(case, seed=4):
    parts = CASES[case]
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"} | parts["design"],
        outcome={"column": "y"} | parts["outcome"],
        heterogeneity=parts.get("heterogeneity", {}),
        priors={"between_sd": {"distribution": "half_normal", "sigma": 0.6}},
    )
    frame = bc.simulate.SyntheticExperiment(
        spec,
        n_clusters=14,
        cluster_size=20,
        dose="dose" in case,
        categories={"plan": ("free", "pro", "team")},
        parameters={"between_sd": 0.5, "direct_sd": 0.5, "spillover_sd": 0.5},
    ).simulate(seed)
    return frame, bc.Experiment(frame, spec)


def row_model(frame, exp):
    """The model as its definition says: units, and intercepts that are sampled."""
    spec, priors, columns = exp.spec, resolved_priors(exp), regressors(frame, exp)
    team = frame["team"].to_numpy()
    first = np.unique(team, return_index=True)[1]
    constant = [name for name, x in columns.items() if (x == x[first][team]).all()]
    coords = {"cluster": np.arange(len(first)), "arm": ["control", "treated"]}
    with pm.Model(coords=coords) as model:
        effects = {name: priors[name].to_pymc(name) for name in columns}
        level = priors["intercept_mean"].to_pymc("intercept_mean")
        if spec.design.strata:
            stratum = frame["pair"].to_numpy()[first]
            sigma = priors["stratum_effect"].parameters["sigma"]
            level = level + pm.ZeroSumNormal("stratum_effect", sigma, shape=7)[stratum]
        if spec.heterogeneity.between_sd_by_arm:
            between = priors["between_sd"].to_pymc("between_sd", dims="arm")
            between = between[frame["treated"].to_numpy()[first]]
        else:
            between = priors["between_sd"].to_pymc("between_sd")
        shift = sum((effects[name] * columns[name][first] for name in constant), np.zeros(1))
        if spec.outcome.family == "bernoulli":  # little information: centred chains would diverge
            mean = level + shift + between * pm.Normal("z", dims="cluster")
        else:
            mean = pm.Normal("mean", level + shift, between, dims="cluster")
        pm.Deterministic("intercept", mean - shift, dims="cluster")
        eta = mean[team]
        for name, x in columns.items():
            if name in spec.heterogeneity.slopes:
                spread = priors[f"{name}_sd"].to_pymc(f"{name}_sd") * pm.Normal(
                    f"z_{name}", dims="cluster"
                )
                own = pm.Deterministic(f"{name}_of_cluster", effects[name] + spread, dims="cluster")
                eta = eta + own[team] * x
            elif name not in constant:
                eta = eta + effects[name] * x
        observe(frame["y"].to_numpy(), eta, spec.outcome.family, priors)
    return model


def observe(y, eta, family, priors):
    match family:
        case "bernoulli":
            pm.Bernoulli("y", logit_p=eta, observed=y)
        case "poisson":
            pm.Poisson("y", pm.math.exp(eta), observed=y)
        case "negative_binomial":
            phi = priors["overdispersion"].to_pymc("overdispersion")
            pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=1 / phi, observed=y)
        case "student_t":
            nu = priors["degrees_of_freedom"].to_pymc("degrees_of_freedom")
            sigma = priors["within_sd"].to_pymc("within_sd")
            pm.StudentT("y", nu=nu, mu=eta, sigma=sigma, observed=y)
        case "gaussian":
            pm.Normal("y", eta, priors["within_sd"].to_pymc("within_sd"), observed=y)
        case "lognormal":
            pm.LogNormal("y", eta, priors["within_sd"].to_pymc("within_sd"), observed=y)


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    """Both posteriors, as datasets, and the package's tree.

    The package's is sampled by code that was compiled for other data of the same structure.
    """
    frame, exp = make(request.param)
    others = (make(request.param, seed)[1] for seed in range(5, 25))
    compiled_model(next(other for other in others if structure(other) == structure(exp)))
    tree = bc.fit(exp, seed=1, progressbar=False, **RUN)
    with row_model(frame, exp):
        theirs = pm.sample(
            random_seed=2,
            nuts_sampler="nutpie",
            target_accept=0.97,
            progressbar=False,
            quiet=True,
            **RUN,
        )
    return exp, tree, tree["posterior"].to_dataset(), theirs["posterior"].to_dataset()


def assert_within_four_errors(ours, theirs, names, quantiles=True):
    statistics = {"mean": lambda x: x.mean(), "sd": lambda x: x.std(ddof=1)}
    if quantiles:
        statistics |= {p: lambda x, p=p: np.quantile(x, p) for p in (0.025, 0.975)}
    for name in names:
        a, b = (np.reshape(x[name].to_numpy(), (*x[name].shape[:2], -1)) for x in (ours, theirs))
        for i in range(a.shape[-1]):
            for statistic, of in statistics.items():
                how = (
                    {"method": "quantile", "prob": statistic}
                    if isinstance(statistic, float)
                    else {"method": statistic}
                )
                error = np.hypot(*(az.mcse(x[..., i], **how) for x in (a, b)))
                gap = of(a[..., i]) - of(b[..., i])
                assert abs(gap) < 4 * error, (name, i, statistic, gap / error)


def test_parameters_agree(pair):
    exp, _, ours, theirs = pair
    names = [name for name in ours if "cluster" not in ours[name].dims]
    assert set(names) == {*resolved_priors(exp)}
    assert_within_four_errors(ours, theirs, names)


def test_intercepts_and_varying_effects_agree(pair):
    _, _, ours, theirs = pair
    names = [name for name in ours if "cluster" in ours[name].dims]
    assert "intercept" in names
    assert_within_four_errors(ours, theirs, names, quantiles=False)


def test_the_tree_is_complete(pair):
    exp, tree, ours, _ = pair
    spec = exp.spec
    sampled = spec.outcome.family == "student_t" or spec.heterogeneity.slopes != ()
    if spec.outcome.family not in ("gaussian", "lognormal"):
        assert (model_kind(exp) is ModelKind.CELLS_SAMPLED) == sampled
    assert {f"{name}_of_cluster" for name in spec.heterogeneity.slopes} < {*ours, "x"}
    assert tree["log_likelihood"]["outcome"].shape == (4, RUN["draws"], 14)
    assert np.isfinite(tree["log_likelihood"]["outcome"]).all()
    observed = tree["observed_data"]["cluster_mean"].to_numpy()
    drawn = tree["posterior_predictive"]["cluster_mean"].to_numpy().reshape(-1, 14)
    # At 99%, of 14 clusters.
    inside = (np.quantile(drawn, 0.005, axis=0) < observed) & (
        observed < np.quantile(drawn, 0.995, axis=0)
    )
    assert inside.mean() > 0.8
