"""Fixtures shared by all tests: the tutorial's experiment and its posterior, made once."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc


@pytest.fixture(scope="session")
def tutorial():
    return bc.load_tutorial()


@pytest.fixture(scope="session")
def tutorial_experiment(tutorial):
    return bc.Experiment(tutorial, bc.tutorial_spec())


@pytest.fixture(scope="session")
def tutorial_analysis(tutorial):
    return bc.analyze(
        tutorial,
        bc.tutorial_spec(),
        seed=1,
        truth={"direct": 0.8, "spillover": 0.2},
        progressbar=False,
    )


@pytest.fixture
def spec():
    """Roles of the columns of `units`."""
    return bc.ModelSpec(
        design={
            "cluster": "workspace",
            "treatment": "treated",
            "spillover": "exposed",
            "unit": "user",
        },
        outcome={"column": "minutes"},
    )


@pytest.fixture
def units():
    """Forty users in eight workspaces, four treated; every third control user is exposed."""
    rng = np.random.default_rng(5)
    workspace = np.repeat(np.arange(8), 5)
    treated = (workspace < 4).astype(int)
    exposed = ((np.arange(40) % 3 == 0) & (treated == 0)).astype(int)
    return pd.DataFrame(
        {
            "user": np.arange(40),
            "workspace": [f"w{i}" for i in workspace],
            "treated": treated,
            "exposed": exposed,
            "age": rng.normal(40, 10, 40),
            "minutes": 5 + treated + 0.5 * exposed + rng.normal(0, 1, 40) + workspace / 10,
        }
    )


def make_counts(family, seed, **parameters):
    """An experiment whose users' counts are poisson or negative binomial."""
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "spillover": "exposed"},
        outcome={"column": "visits", "family": family},
    )
    known = {"intercept_mean": 0.7, "overdispersion": 0.6, **parameters}
    return bc.simulate.SyntheticExperiment(
        spec, n_clusters=40, cluster_size=40, parameters=known
    ).simulate(seed)


@pytest.fixture(scope="session")
def count_comparisons():
    """Poisson and negative binomial models of data of either kind, by the data's family."""
    found = {}
    for family in ("poisson", "negative_binomial"):
        data, specs = make_counts(family, seed=1), {}
        for fitted in ("poisson", "negative_binomial"):
            specs[fitted] = bc.ModelSpec(
                design={"cluster": "team", "treatment": "treated", "spillover": "exposed"},
                outcome={"column": "visits", "family": fitted},
            )
        found[family] = bc.checks.compare_models(
            data, specs, fitter=lambda exp: bc.fit(exp, seed=1, progressbar=False)
        )
    return found
