"""Simulation-based calibration: right posteriors pass it, wrong ones do not."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc

DESIGN = {"cluster": "team", "treatment": "treated", "spillover": "exposed"}


def prior(distribution, **parameters):
    return {"distribution": distribution, "unit": "outcome", **parameters}


PRIORS = {
    "intercept_mean": prior("normal", mu=0, sigma=1),
    "direct": prior("normal", mu=0, sigma=0.5),
    "spillover": prior("normal", mu=0, sigma=0.5),
    "between_sd": prior("half_normal", sigma=0.5),
}


def generator(family="gaussian", **more):
    own = {} if family == "bernoulli" else {"within_sd": prior("half_normal", sigma=1)}
    spec = bc.ModelSpec(
        design=DESIGN, outcome={"column": "y", "family": family, **more}, priors=PRIORS | own
    )
    return bc.simulate.SyntheticExperiment(spec, n_clusters=12, cluster_size=10)


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_integrated_posteriors_are_calibrated(family):
    found = bc.design.calibrate(generator(family), 150, seed=2)
    table = found.to_dataframe()
    assert table["parameter"].tolist() == [*PRIORS, "within_sd"]
    assert (table["verdict"] == "ok").all()
    # The mean of 150 uniform variables has a standard error of 0.024.
    assert (abs(table["mean"] - 0.5) < 4 * 12**-0.5 / 150**0.5).all()
    assert found.pit.shape == (150, 5)
    again = bc.design.calibrate(generator(family), 150, seed=2)
    pd.testing.assert_frame_equal(found.pit, again.pit)


def test_sampled_posteriors_are_calibrated():
    found = bc.design.calibrate(generator("bernoulli"), 24, seed=4, draws=150, tune=300, chains=2)
    assert (found.to_dataframe()["verdict"] == "ok").all()
    assert found.plot().axes


def test_a_wrong_posterior_is_flagged():
    uniform = np.random.default_rng(0).uniform(size=(200, 2))
    pit = pd.DataFrame({"direct": uniform[:, 0], "spillover": uniform[:, 1] ** 1.5})
    table = bc.design.Calibration(pit, bc.tutorial_spec(), 0).to_dataframe()
    assert table["verdict"].tolist() == ["ok", "problem"]


def test_priors_that_look_at_the_data_are_refused():
    spec = bc.ModelSpec(design=DESIGN, outcome={"column": "y"})
    with pytest.raises(
        bc.errors.SpecError, match=r"prior of intercept_mean, direct, .* from the data"
    ):
        bc.design.calibrate(bc.simulate.SyntheticExperiment(spec), 10)
    with pytest.raises(bc.errors.SpecError, match="does not simulate covariates, strata"):
        bc.design.calibrate(generator(covariates=["age"]), 10)


@pytest.mark.parametrize(("level", "words"), [(-40, "all alike"), (60, "too large")])
def test_priors_that_allow_for_no_data_are_refused_before_any_fit(level, words):
    priors = PRIORS | {"intercept_mean": prior("normal", mu=level, sigma=1)}
    spec = bc.ModelSpec(design=DESIGN, outcome={"column": "y", "family": "poisson"}, priors=priors)
    with pytest.raises(bc.errors.SpecError, match=f"outcomes that are {words}"):
        bc.design.calibrate(
            bc.simulate.SyntheticExperiment(spec, n_clusters=12, cluster_size=10), 3
        )


def test_a_calibration_needs_simulations():
    with pytest.raises(ValueError, match="n_simulations must be at least 1"):
        bc.design.calibrate(generator(), 0)
