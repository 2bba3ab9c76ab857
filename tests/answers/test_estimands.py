"""Estimands on the outcome's scale, against averages over the rows."""

import numpy as np
import pytest
import xarray as xr
from scipy import special

import bayescluster as bc
from bayescluster.answers import average_outcomes
from bayescluster.answers.estimands import Estimand, definition, estimand_draws

DRAWS = 30
COEFFICIENTS = ("direct", "spillover", "interaction", "within_spillover")


def make(family, seed=1):
    """A partial rollout with every effect, a covariate and effects that vary; and draws for it."""
    spec = bc.ModelSpec(
        design={
            "cluster": "team",
            "treatment": "treated",
            "level": "unit",
            "spillover": "exposed",
            "interaction": True,
            "saturation": "share",
        },
        outcome={"column": "y", "family": family, "covariates": ["age"]},
        heterogeneity={"slopes": ["direct", "spillover"]},
    )
    made = bc.simulate.SyntheticExperiment(spec, 12, 400, parameters={"intercept_mean": -0.4})
    frame, rng = made.simulate(seed), np.random.default_rng(seed)
    drawn = {name: rng.normal(0.4, 0.2, (1, DRAWS)) for name in COEFFICIENTS}
    drawn |= {"age": rng.normal(0.6, 0.1, (1, DRAWS))}
    drawn |= {name: 0.5 + rng.random((1, DRAWS)) for name in ("between_sd", "within_sd")}
    posterior = {name: (("chain", "draw"), values) for name, values in drawn.items()}
    for name in ("intercept", "direct_of_cluster", "spillover_of_cluster"):
        posterior[name] = (("chain", "draw", "cluster"), rng.normal(0, 0.5, (1, DRAWS, 12)))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})
    return frame, bc.Experiment(frame, spec), tree


def averages(frame, tree, inverse, extra=0.0):
    """Each effect's difference of means, user by user."""
    at = frame["team"].to_numpy()
    draws = {k: v.to_numpy()[0] for k, v in tree["posterior"].to_dataset().items()}
    age = (frame["age"] - frame["age"].mean()).to_numpy()
    base = draws["intercept"][:, at] + draws["age"][:, None] * age + extra
    direct, spillover = (draws[f"{k}_of_cluster"][:, at] for k in ("direct", "spillover"))
    both = direct + spillover + draws["interaction"][:, None]

    def change(by):
        return (inverse(base + by) - inverse(base)).mean(axis=1)

    found = {"direct": change(direct), "spillover": change(spillover)}
    found["direct with exposure"] = change(both)
    found["interaction"] = found["direct with exposure"] - found["direct"] - found["spillover"]
    found["within_spillover"] = change(draws["within_spillover"][:, None])
    return found


def by_label(exp, tree):
    return {one.label: values for one, values in estimand_draws(exp, tree).items()}


@pytest.mark.parametrize("block", [4_000_000, 1_000])
def test_differences_of_rates_are_averages_over_users(block, monkeypatch):
    monkeypatch.setattr(average_outcomes, "BLOCK_ELEMENTS", block)
    frame, exp, tree = make("bernoulli")
    found = by_label(exp, tree)
    for name, values in averages(frame, tree, special.expit).items():
        assert found[name] == pytest.approx(values, abs=1e-12)


def test_differences_of_lognormal_means_are_averages_over_users():
    """To second order in a covariate, which is normal here: 4,800 users of it are nearly so."""
    frame, exp, tree = make("lognormal")
    found = by_label(exp, tree)
    half = tree["posterior"]["within_sd"].to_numpy()[0][:, None] ** 2 / 2
    for name, values in averages(frame, tree, np.exp, half).items():
        assert found[f"{name}, difference of means"] == pytest.approx(values, rel=0.03, abs=0.01)


def test_definitions_read_as_english():
    assert definition(Estimand("direct", "odds ratio")).endswith(", as an odds ratio")
    assert definition(Estimand("direct with exposure", "difference of means")).endswith(
        "a difference of means"
    )
