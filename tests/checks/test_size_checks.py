"""Checks of cluster size, on data in which the effect depends on size and on data in which not."""

import numpy as np
import pandas as pd

import bayescluster as bc

INFORMATIVE = "informative cluster size: direct"


def checks_of(slope, seed=2, growth=1.0, spread=1.0, modelled=True, **design):
    """Checks of 60 clusters whose direct effect is 0.5 + slope times log size, centred."""
    rng = np.random.default_rng(seed)
    size = np.maximum(5, np.round(30 * rng.lognormal(0, spread, 60)))
    treated = rng.permutation(np.arange(60) % 2)
    rows = np.maximum(3, np.round(size * np.where(treated == 1, growth, 1.0))).astype(int)
    g = np.log(size) - np.log(size).mean()
    team = np.repeat(np.arange(60), rows)
    level = rng.normal(0, 0.3, 60) + treated * (0.5 + slope * g)
    frame = pd.DataFrame(
        {
            "team": team,
            "treated": treated[team],
            "y": level[team] + rng.normal(0, 1, len(team)),
            "staff": size[team],
        }
    )
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"} | design,
        outcome={"column": "y"},
        heterogeneity={"size_effects": modelled},
    )
    exp = bc.Experiment(frame, spec)
    found = bc.compare(exp, bc.fit_exact(exp, draws=800, seed=1), bootstrap_draws=200)
    return bc.diagnose(found).set_index("check")


def test_an_effect_that_goes_with_size_is_noticed_with_both_averages():
    row = checks_of(-0.4).loc[INFORMATIVE]
    assert row["verdict"] == "caution"
    assert "averaged over users" in row["value"]
    assert "over clusters; change per unit of log size -0." in row["value"]
    assert "[report] estimand" in row["advice"]


def test_an_effect_that_does_not_is_ok():
    assert checks_of(0.0).loc[INFORMATIVE, "verdict"] == "ok"


def test_sizes_that_are_not_modelled_are_a_caution():
    found = checks_of(0.0, modelled=False)
    assert INFORMATIVE not in found.index
    row = found.loc["informative cluster size"]
    assert row["verdict"] == "caution"
    assert "size_effects = false" in row["value"]


def test_sizes_that_are_equal_have_no_such_check():
    for modelled in (True, False):
        found = checks_of(0.0, modelled=modelled, spread=0.0)
        assert not found.index.str.contains("informative|sizes of the").any()
    assert not checks_of(0.0, spread=0.0).index.str.contains("cluster size:|sizes of the").any()


def test_sizes_that_treatment_changed_are_noticed_unless_those_before_are_given():
    name = "cluster sizes of the arms"
    assert checks_of(0.0).loc[name, "verdict"] == "ok"
    grown = checks_of(0.0, growth=3.0, spread=0.4)
    assert grown.loc[name, "verdict"] == "caution"
    assert "[design] size" in grown.loc[name, "advice"]
    assert name not in checks_of(0.0, growth=3.0, spread=0.4, size="staff").index
