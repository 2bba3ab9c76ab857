"""Specifications and priors: validated, frozen, hashed, TOML without loss."""

import pickle
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescluster as bc

MODELS = Path(__file__).parents[2] / "models"
ROLES = {"cluster": "w", "treatment": "t"}


def make(**changes):
    return bc.ModelSpec(**{"design": ROLES, "outcome": {"column": "y"}} | changes)


positive = st.floats(1e-3, 1e3)
location = st.one_of(
    st.builds(
        lambda m, s: {"distribution": "normal", "mu": m, "sigma": s}, st.floats(-9, 9), positive
    ),
    st.builds(
        lambda n, m, s: {"distribution": "student_t", "nu": n, "mu": m, "sigma": s},
        positive,
        st.floats(-9, 9),
        positive,
    ),
)
scale = st.one_of(
    st.builds(lambda s: {"distribution": "half_normal", "sigma": s}, positive),
    st.builds(lambda s: {"distribution": "half_cauchy", "sigma": s}, positive),
    st.builds(lambda m: {"distribution": "exponential", "mean": m}, positive),
    st.builds(
        lambda m, s: {"distribution": "lognormal", "median": m, "log_sd": s}, positive, positive
    ),
)
text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
)


@settings(deadline=None)
@given(
    direct=location,
    age=location,
    tau=scale,
    title=text,
    ci_prob=st.floats(0.01, 0.99),
    rope=st.none() | st.tuples(st.floats(-5, -1e-6), st.floats(1e-6, 5)),
    unit=st.sampled_from(["outcome_sd", "outcome"]),
)
def test_toml_is_lossless(direct, age, tau, title, ci_prob, rope, unit):
    spec = make(
        title=title,
        outcome={"column": "y", "covariates": ["age", "b c"]},
        priors={
            "direct": direct | {"unit": unit},
            "between_sd": tau,
            "covariates": {"age": age},
        },
        report={"ci_prob": ci_prob, "rope": rope},
    )
    again = bc.ModelSpec.from_toml(spec.to_toml())
    assert again == spec
    assert again.hash == spec.hash
    assert hash(again) == hash(spec)


def test_the_models_folder_loads_and_the_tutorial_is_the_demos():
    assert bc.load_spec(MODELS / "tutorial.toml") == bc.tutorial_spec()
    for path in MODELS.glob("*.toml"):
        assert len(bc.load_spec(path).hash) == 64


def test_the_hash_tells_analyses_apart():
    assert make().hash == make().hash
    assert make().hash != make(report={"threshold": 0.1}).hash
    assert pickle.loads(pickle.dumps(make())) == make()


def test_specs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        make().title = "other"


BAD = [
    ({"desing": {}}, r"unknown key 'desing' \(did you mean 'design'\?\); valid keys here: title, "),
    ({"design": ROLES | {"units": "u"}}, r"design: unknown key 'units' \(did you mean 'unit'\?\)"),
    ({"design": {"cluster": "w"}}, r"design: treatment: Field required"),
    ({"design": ROLES | {"spillover": "w"}}, r"column 'w' is both cluster and spillover"),
    ({"outcome": {"column": "t"}}, r"column 't' is both treatment and column"),
    (
        {"outcome": {"column": "y", "family": "gausian"}},
        r"'gausian' .did you mean 'gaussian'",
    ),
    (
        {"outcome": {"column": "y", "covariates": ["direct"]}},
        r"\['direct'\] is one of the posterior's own",
    ),
    ({"outcome": {"column": "spillover"}}, r"\['spillover'\] is one of the posterior's own"),
    ({"report": {"ci_prob": 95}}, r"report: ci_prob: Input should be less than 1"),
    ({"report": {"rope": [1, -1]}}, r"rope must be \[lower, upper\]"),
    (
        {"report": {"threshold": float("nan")}},
        r"report: threshold: Input should be a finite number",
    ),
    (
        {"priors": {"direct": {"distribution": "half_normal", "sigma": 1}}},
        r"direct takes one of normal",
    ),
    ({"priors": {"between_sd": {"distribution": "normal", "mu": 0, "sigma": 1}}}, r"half_cauchy"),
    (
        {"priors": {"direct": {"distribution": "normal", "mu": 0}}},
        r"takes exactly mu, sigma; given: mu",
    ),
    ({"priors": {"direct": {"distribution": "normal", "mu": 0, "sigma": -1}}}, r"greater than 0"),
    ({"priors": {"drect": {}}}, r"unknown key 'drect' \(did you mean 'direct'\?\)"),
    (
        {"priors": {"covariates": {"age": {"distribution": "normal", "mu": 0, "sigma": 1}}}},
        r"priors.covariates names \['age'\], which outcome.covariates \[\] does not",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_specs_are_refused(changes, message):
    with pytest.raises(bc.errors.SpecError, match=message):
        make(**changes)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "x.toml"
    with pytest.raises(bc.errors.SpecError, match=r"x.toml: cannot be read"):
        bc.load_spec(path)
    path.write_text("[design")
    with pytest.raises(bc.errors.SpecError, match=r"x.toml: the specification is not valid TOML"):
        bc.load_spec(path)
    path.write_text("[design]\nclster = 'w'")
    with pytest.raises(bc.errors.SpecError, match=r"x.toml: .*did you mean 'cluster'"):
        bc.load_spec(path)


PRIORS = [
    {"distribution": "normal", "mu": 0.5, "sigma": 2},
    {"distribution": "student_t", "nu": 3, "mu": -1, "sigma": 0.5},
    {"distribution": "half_normal", "sigma": 0.5},
    {"distribution": "half_cauchy", "sigma": 1.5},
    {"distribution": "exponential", "mean": 2.0},
    {"distribution": "lognormal", "median": 0.7, "log_sd": 1.2},
]


@pytest.mark.parametrize("values", PRIORS, ids=lambda v: v["distribution"])
def test_scipy_and_pymc_agree_on_each_prior(values):
    prior = bc.Prior(**values)
    with pm.Model():
        variable = prior.to_pymc("x")
        for x in (0.01, 0.3, 1.0, 4.5):
            ours = prior.to_scipy().logpdf(x)
            assert float(pm.logp(variable, x).eval()) == pytest.approx(ours, abs=1e-8)


@pytest.mark.parametrize("values", PRIORS, ids=lambda v: v["distribution"])
def test_units_scale_and_shift_a_prior(values):
    """If x follows the prior in SDs, location + scale x follows the one in the outcome's unit."""
    prior = bc.Prior(**values)
    shift = 7.0 if "mu" in values else 0.0
    quantile = np.array([0.1, 0.5, 0.9])
    moved = prior.in_outcome_units(3.0, shift)
    expected = shift + 3.0 * prior.to_scipy().ppf(quantile)
    assert moved.to_scipy().ppf(quantile) == pytest.approx(expected, rel=1e-9)
    assert moved.unit == "outcome"
    assert moved.in_outcome_units(9.0) == moved


def test_the_hash_changes_with_what_is_used_of_sizes_and_averages():
    plain = make(heterogeneity={"size_effects": False})
    terms = {"direct_by_log_size": {"distribution": "normal", "mu": 0, "sigma": 0.1}}
    changed = [
        make(),
        make(priors=terms),
        make(report={"estimand": "cluster"}),
    ]
    assert len({spec.hash for spec in (plain, *changed)}) == 4
    assert make().hash == make(heterogeneity={"size_effects": True}).hash
    assert make().model_hash == make(report={"estimand": "cluster"}).model_hash
