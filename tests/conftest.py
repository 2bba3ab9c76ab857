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
