"""The folder models/: every specification loads, builds and recovers; its page is true."""

import importlib.util
import re
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

import bayescluster as bc
from bayescluster.bayes.compiled_models import structure
from bayescluster.bayes.model_inputs import resolved_priors
from bayescluster.figures.prior_predictive import PriorPredictive
from bayescluster.report.model_card.model_equations import equations
from bayescluster.simulate.gallery_examples import EXAMPLES
from bayescluster.spec.families import FAMILIES

MODELS = Path(__file__).parents[1] / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.toml"))


@pytest.fixture(scope="session")
def gallery():
    found = importlib.util.spec_from_file_location("gallery", MODELS / "gallery.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def experiment(gallery):
    made = {}

    def of(name):
        if name not in made:
            made[name] = gallery.experiment(name)
        return made[name]

    return of


def test_there_is_a_specification_for_every_kind():
    specs = [bc.load_spec(MODELS / f"{name}.toml") for name in NAMES]
    shown = {"gaussian", "lognormal", "student_t", "bernoulli", "poisson", "negative_binomial"}
    assert {spec.outcome.family for spec in specs} >= shown
    assert set(EXAMPLES) == set(NAMES) - {"tutorial", "star", "collaboration"}
    for kind in (
        lambda s: s.outcome.pre_period,
        lambda s: s.outcome.covariates,
        lambda s: s.design.level == "unit" and s.design.saturation,
        lambda s: s.design.interaction,
        lambda s: s.design.mechanism == "matched_pairs",
        lambda s: s.heterogeneity.slopes,
        lambda s: s.heterogeneity.between_sd_by_arm,
        lambda s: s.alternatives,
        lambda s: s.exposure,
    ):
        assert any(kind(spec) for spec in specs)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_asks_and_decides_and_survives_toml(name):
    text = (MODELS / f"{name}.toml").read_text("utf-8")
    spec = bc.ModelSpec.from_toml(text)
    again = bc.ModelSpec.from_toml(spec.to_toml())
    assert (again, again.hash) == (spec, spec.hash)
    assert spec.title
    assert spec.question.endswith("?")
    assert spec.outcome.label
    assert {"threshold", "rope"} <= set(tomllib.loads(text)["report"])


@pytest.mark.parametrize("name", NAMES)
def test_every_declared_prior_has_a_comment(name):
    """A prior's table, or the run of tables that it is in, begins with a reason."""
    lines = (MODELS / f"{name}.toml").read_text("utf-8").splitlines()
    reason = {}
    for i, line in enumerate(lines):
        if header := re.match(r"\[(priors|alternatives)\.(.*)\]", line):
            before = "\n".join(lines[:i]).rstrip("\n").splitlines()
            reason[header.group(2)] = before[-1].startswith("#")
    # The two that repeat the prior above them say nothing new.
    repeats = {"latency": {"spillover"}}.get(name, set())
    assert all(said for key, said in reason.items() if key not in repeats), reason


@pytest.mark.parametrize("name", NAMES)
def test_its_model_builds_and_its_density_is_finite(name, experiment):
    exp = experiment(name)
    model = bc.build_model(exp)
    names = {variable.name for variable in model.free_RVs}
    absent = set(resolved_priors(exp)) - names
    assert not absent
    log_density = model.compile_logp(mode="FAST_COMPILE")  # in Python: one evaluation is all
    assert np.isfinite(log_density(model.initial_point()))


@pytest.mark.parametrize("name", NAMES)
def test_its_priors_expect_experiments_of_this_kind(name, experiment):
    """What was seen is inside what the priors expect, and these are not wild."""
    exp = experiment(name)
    predicted = PriorPredictive.of(exp)
    drawn, observed = predicted.cluster_mean, predicted.observed
    assert np.isfinite(drawn).all()
    low, high = np.quantile(drawn, [0.005, 0.995])
    assert ((low <= observed) & (observed <= high)).mean() > 0.95
    family = exp.spec.outcome.family
    if family == "bernoulli":
        assert ((drawn > 0.005) & (drawn < 0.995)).mean() > 0.8
    elif FAMILIES[family].has_link:
        assert 0.2 < np.median(drawn) / np.median(observed) < 5
        assert np.quantile(drawn, 0.95) < 50 * observed.mean()
    else:
        assert drawn.std() < 6 * exp.moments().sd[-1]
    low, high = np.quantile(predicted.arm_difference, [0.01, 0.99])
    assert low < predicted.observed_difference < high
    sd = predicted.arm_difference.std()
    assert sd > 0.1 * abs(predicted.observed_difference)


# Specifications of one structure next to each other: the second reuses the first's compiled code.
FITTED = sorted(EXAMPLES, key=lambda name: name == "suggestions" or name == "conversion")


@pytest.mark.parametrize("name", FITTED)
def test_it_is_fitted_and_recovers_its_truth(name, experiment, gallery):
    """Within 4 posterior SDs, which one of some 70 parameters misses in 250 runs."""
    exp = experiment(name)
    with warnings.catch_warnings():
        # 500 draws are few; what matters here is that none diverges and the centre is right.
        warnings.filterwarnings("ignore", message="R-hat|effective sample size")
        tree = bc.fit(exp, draws=250, tune=300, chains=2, seed=1, progressbar=False)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    truth = bc.simulate.example(MODELS / f"{name}.toml").true_parameters(exp)
    posterior = tree["posterior"]
    stated = {n for n in resolved_priors(exp) if n != "stratum_effect"}
    intercept = {"intercept_mean"} if exp.spec.design.strata else set()
    assert {key.replace("[control]", "").replace("[treated]", "") for key in truth} == (
        stated - intercept
    )
    for key, value in truth.items():
        arm = re.fullmatch(r"between_sd\[(\w+)\]", key)
        draws = posterior["between_sd"].sel(arm=arm.group(1)) if arm else posterior[key]
        assert abs(float(draws.mean()) - value) < 4 * float(draws.std()), key


def test_alternatives_share_the_structure_of_their_model(experiment):
    # All but the number of quadrature nodes, which the data ask for.
    assert structure(experiment("suggestions"))[:-1] == structure(experiment("conversion"))[:-1]
    assert len(experiment("suggestions").spec.alternatives) == 4


def test_the_page_is_what_the_specifications_say(gallery):
    page = gallery.PAGE.read_text("utf-8")
    assert gallery.filled(page) == page, "models/README.md is out of date: run `make gallery`"


@pytest.mark.parametrize("name", NAMES)
def test_its_picture_is_drawn_from_it(name, gallery):
    path = MODELS / "images" / f"{name}.png"
    assert gallery.drawn_from(path) == gallery.inputs(name), f"{path}: run `make gallery`"
    assert path.stat().st_size < 60_000


def test_equations_follow_the_structure(experiment):
    assert r"\mathrm{interaction}\, T_j\, s_{ij}" in equations(experiment("four_conditions"))
    assert r"(1 - T_{ij})\, q_j" in equations(experiment("partial_rollout"))
    assert r"\mathrm{stratum\_effect}_{k(j)}" in equations(experiment("matched_pairs"))
    assert r"\mathrm{spillover}_j &\sim" in equations(experiment("varying_spillover"))
    assert r"\mathrm{between\_sd}_{T_j}" in equations(experiment("spread_by_arm"))
    assert r"\mathrm{overdispersion}" in equations(experiment("incidents"))
    assert r"\beta_{\mathrm{plan[team]}}" in equations(experiment("pre_period"))


def test_a_card_shows_every_parameter_and_where_its_prior_is_from(experiment):
    card = bc.model_card(experiment("pre_period"))
    for name in resolved_priors(experiment("pre_period")):
        assert f"| `{name}` |" in card
    assert "| normal(0.8, 0.2) | **declared** | 0.41 to 1.2 |" in card
    assert 'plan_team_(["plan[team] ~ Normal"])' in card
    assert "quadrature with" in bc.model_card(experiment("conversion"))
    assert "odds ratio 0.38 to 2.7" in bc.model_card(experiment("conversion"))
    assert "sampled (`cluster_level`)" in bc.model_card(experiment("latency"))


def test_data_are_known_by_the_files_name(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((MODELS / "dose.toml").read_text("utf-8"))
    with pytest.raises(
        bc.errors.SpecError, match=r"mine.toml: there are no example data with this name, only for"
    ):
        bc.simulate.example(path)
