"""Twelve analyses, each with the exact decision and the first sentence of its report."""

import numpy as np
import pandas as pd
import pytest

import bayescluster as bc

#: Wide enough to be read as "the posterior says what the data say".
STRONG = {"distribution": "normal", "mu": 0.5, "sigma": 0.1, "unit": "outcome"}


def users(seed=1, effect=0.5, clusters=40, n=40, level=0.3, baseline=5.0, treated=None, size=None):
    """Users of clusters; `effect` is one number, or one per cluster."""
    rng = np.random.default_rng(seed)
    size = np.full(clusters, n) if size is None else size
    arm = rng.permutation(np.arange(clusters) % 2) if treated is None else treated
    of = np.repeat(np.arange(clusters), size)
    noise = rng.normal(0, 1, len(of))
    y = baseline + (rng.normal(0, level, clusters) + arm * effect)[of] + noise
    return pd.DataFrame({"team": of, "treated": arm[of], "y": y})


def few_large():
    """Sizes of which one in ten is large; the large ones gain nothing."""
    size = np.where(np.arange(60) % 10 == 0, 400, 20)
    return {"clusters": 60, "size": size, "effect": np.where(size == 400, -0.1, 0.8), "level": 0.2}


def outlier():
    data = users(effect=1.0)
    data.loc[data["team"] == 3, "y"] += 30
    return data


CASES = {
    "both paths agree": (
        users(),
        {},
        "ship",
        "Ship: the direct effect is above zero with > 99.9% probability (asked for: 95%), "
        "and the cross-check agrees (OLS, CR2: 90% interval 0.37 to 0.72 min).",
    ),
    "both paths agree on harm": (
        users(effect=-0.5),
        {},
        "don't ship",
        "Don't ship: the direct effect is below zero with > 99.9% probability (asked for: "
        "95%), and the cross-check agrees (OLS, CR2: 90% interval -0.63 to -0.28 min).",
    ),
    "too little is known": (
        users(effect=0.1, clusters=20),
        {},
        "keep measuring",
        "Keep measuring: the probability that the direct effect is above zero is 77.1%; a "
        "decision needs 95%, or less than 5%.",
    ),
    "the prior alone decides": (
        users(effect=0.0),
        {"priors": {"direct": STRONG}},
        "keep measuring",
        "Keep measuring: the posterior says that the direct effect is above zero with > "
        "99.9% probability (asked for: 95%), but the cross-check does not confirm it (OLS, "
        "CR2: 90% interval -0.13 to 0.22 min); and a check is at problem: power scaling of "
        "the priors (most sensitive: direct, 0.246 to its prior and 0.266 to the data).",
    ),
    "sizes are not modelled": (
        users(**few_large()),
        {"heterogeneity": {"size_effects": False}},
        "keep measuring",
        "Keep measuring: the posterior says that the direct effect is above zero with > "
        "99.9% probability (asked for: 95%), but the cross-check does not confirm it "
        "(randomisation test: 90% interval -0.20 to 0.74 min); and a check is at problem: "
        "posterior predictive check (most surprising: mean, direct, observed 5.171, "
        "expected 5.306 to 5.907).",
    ),
    "one cluster fails a check": (
        outlier(),
        {},
        "keep measuring",
        "Keep measuring: the probability that the direct effect is above zero is 40.1%; a "
        "decision needs 95%, or less than 5%; also against one: 4 checks are at problem, "
        "such as spread of the clusters, by arm (SD 0.3575 treated, 6.785 control (p = "
        "0.0005000)).",
    ),
    "few clusters": (
        users(effect=1.0, clusters=8),
        {},
        "ship",
        "Ship: the direct effect is above zero with 99.8% probability (asked for: 95%), "
        "and the cross-check agrees (randomisation test: 90% interval 0.47 to 1.40 min).",
    ),
    "few clusters and less effect": (
        users(effect=0.4, clusters=8),
        {},
        "keep measuring",
        "Keep measuring: the probability that the direct effect is above zero is 91.5%; a "
        "decision needs 95%, or less than 5%.",
    ),
    "an unbounded interval": (
        users(effect=1.0, clusters=8),
        {"report": {"decision_prob": 0.99}},
        "keep measuring",
        "Keep measuring: the posterior says that the direct effect is above zero with "
        "99.8% probability (asked for: 99%), but the cross-check does not confirm it "
        "(randomisation test: the 98% interval is unbounded).",
    ),
    "a decrease is wanted": (
        users(effect=-0.5),
        {"report": {"direction": "decrease", "threshold": -0.1}},
        "ship",
        "Ship: the direct effect is below -0.1 min with > 99.9% probability (asked for: "
        "95%), and the cross-check agrees (OLS, CR2: 90% interval -0.63 to -0.28 min).",
    ),
    "a baseline near zero": (
        users(baseline=0.0),
        {},
        "ship",
        "Ship: the direct effect is above zero with > 99.9% probability (asked for: 95%), "
        "and the cross-check agrees (OLS, CR2: 90% interval 0.37 to 0.72 min).",
    ),
}


def analysis_of(data, sections, posterior=None):
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y", "unit": "min"},
        **sections,
    )
    exp = bc.Experiment(data, spec)
    tree = bc.fit_exact(exp, seed=1) if posterior is None else posterior(exp)
    comparison = bc.compare(exp, tree, bootstrap_draws=200)
    return bc.Analysis(exp, comparison, bc.diagnose(comparison))


@pytest.mark.filterwarnings("ignore:.*bootstrap replicates lose an arm")
@pytest.mark.parametrize("name", CASES)
def test_the_state_and_the_first_sentence(name):
    data, sections, state, sentence = CASES[name]
    analysis = analysis_of(data, sections)
    found = (analysis.decision.state, analysis.conclusions[0])
    assert found == (state, sentence)
    if name == "a baseline near zero":
        assert not any("of the baseline" in text for text in analysis.conclusions)
        assert any("the baseline may be zero" in text.lower() for text in analysis.conclusions)
    else:
        assert any("of the baseline" in text for text in analysis.conclusions)


@pytest.mark.filterwarnings("ignore")
def test_a_failed_sampler_suppresses_every_verdict(tmp_path):
    """A real one: chains that have hardly moved."""

    def short(exp):
        return bc.fit(exp, draws=50, tune=5, chains=4, seed=1, progressbar=False)

    analysis = analysis_of(users(), {}, short)
    assert analysis.decision.state == "not usable"
    assert analysis.conclusions[0].startswith("Not usable: the sampler failed: R-hat (largest) ")
    assert not any("effect is" in text for text in analysis.conclusions)
    assert set(analysis.decision.table["state"]) == {"not usable"}
    page = analysis._repr_html_()
    assert "Not usable" in page
    assert "of the baseline" not in page.replace("<th>of the baseline</th>", "")
