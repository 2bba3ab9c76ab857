"""Every family of the registry: one record whose parts agree with each other and with scipy.

A new family is tested here without being named: the tests run over the registry.
"""

from pathlib import Path

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

import bayescluster as bc
from bayescluster.bayes.model_inputs import model_kind, resolved_priors
from bayescluster.bayes.parameter_draws import ParameterDraws
from bayescluster.bayes.recovered_intercepts import draw_prior, labels_of, likelihood_of
from bayescluster.checks.predictive_replicates import Groups, replicate
from bayescluster.spec import families as folder
from bayescluster.spec.families import FAMILIES, check_family_name
from bayescluster.spec.model_spec import default_priors

CELLS = [name for name, family in FAMILIES.items() if family.cells]
KERNELS = [name for name in CELLS if FAMILIES[name].cells.kernel]
COUNTS = np.arange(4_000.0)
SCALE = 1.3
#: The distribution of one unit in scipy, of families that it has.
SCIPY = {
    "gaussian": lambda eta, shape: stats.norm(eta, SCALE),
    "lognormal": lambda eta, shape: stats.lognorm(SCALE, scale=np.exp(eta)),
    "student_t": lambda eta, shape: stats.t(shape, eta, SCALE),
    "bernoulli": lambda eta, shape: stats.bernoulli(special.expit(eta)),
    "poisson": lambda eta, shape: stats.poisson(np.exp(eta)),
    "negative_binomial": lambda eta, shape: stats.nbinom(1 / shape, 1 / (1 + shape * np.exp(eta))),
}


def shape_of(family):
    """A value of the extra parameter, at which no family becomes another one."""
    return 0.9 * family.extra.typical_value if family.extra else 1.0


def log_density(family, eta, value):
    """The log-density of single units."""
    cells, shape = family.cells, shape_of(family)
    own = (
        cells.outcome_term(np, value, shape, SCALE, special.gammaln) if cells.outcome_term else 0.0
    )
    return cells.log_density(np, eta, 1.0, value, shape, SCALE) + own


def values_of(family):
    if family.is_binary:
        return np.array([0.0, 1.0])
    return COUNTS if family.is_count else np.array([-3.0, -0.2, 0.0, 0.7, 12.0])


def test_a_file_of_the_folder_is_a_family_and_no_other_list_is():
    files = {path.stem for path in Path(folder.__file__).parent.glob("*.py")}
    assert set(FAMILIES) <= files
    assert files - set(FAMILIES) == {"__init__", "family", "links"}
    for name, family in FAMILIES.items():
        assert family.name == check_family_name(name) == name
    with pytest.raises(ValueError, match=r"unknown family 'poison' \(did you mean 'poisson'\?\)"):
        check_family_name("poison")


@pytest.mark.parametrize("name", FAMILIES)
def test_its_words_priors_and_parameters_are_there(name):
    family = FAMILIES[name]
    assert family.words.equation
    assert bool(family.words.link_equation) == family.has_link
    assert family.words.too_variable or not family.is_count
    priors = default_priors(name)
    assert set(family.default_priors) <= set(type(priors).model_fields)
    for parameter in family.parameters:
        assert isinstance(getattr(priors, parameter), bc.Prior), parameter
    assert family.cells or family.has_within_sd
    spec = bc.ModelSpec(
        design={"cluster": "c", "treatment": "t"}, outcome={"column": "y", "family": name}
    )
    assert spec.family is family
    for parameter in family.parameters:
        with pytest.raises(bc.errors.SpecError, match="own names"):
            bc.ModelSpec(
                design={"cluster": "c", "treatment": "t"},
                outcome={"column": "y", "family": name, "covariates": [parameter]},
            )


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("eta", [-1.2, 0.0, 0.9])
def test_its_density_is_one_has_its_mean_and_is_scipys(name, eta):
    family = FAMILIES[name]
    shape, mean = shape_of(family), family.link.mean(eta)
    if family.is_discrete:
        values = values_of(family)
        mass = np.exp(log_density(family, eta, values))
        assert mass.sum() == pytest.approx(1, abs=1e-10)
        assert mass @ values == pytest.approx(mean, rel=1e-8)
        assert mass @ (values - mean) ** 2 == pytest.approx(family.variance(mean, shape), rel=1e-8)
    else:
        total, _ = integrate.quad(
            lambda y: np.exp(log_density(family, eta, y)), -np.inf, np.inf, epsabs=1e-11
        )
        assert total == pytest.approx(1, abs=1e-8)
    if name in SCIPY:
        one = SCIPY[name](eta, shape)
        values = values_of(family)[:60]
        known_density = one.logpmf(values) if family.is_discrete else one.logpdf(values)
        np.testing.assert_allclose(log_density(family, eta, values), known_density, atol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_score_and_information_are_its_derivatives(name):
    family = FAMILIES[name]
    cells, shape, step = family.cells, shape_of(family), 1e-4
    n, total = (1.0, 0.7) if cells.by_value else (7.0, 4.0)
    for eta in (-0.8, 0.1, 1.1):
        below, here, above = (
            cells.log_density(np, eta + move, n, total, shape, SCALE) for move in (-step, 0, step)
        )
        score, information = cells.score_and_information(eta, n, total, shape, SCALE)
        assert score == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-7)
        if not cells.by_value:  # else the expected information
            second = (above - 2 * here + below) / step**2
            assert information == pytest.approx(-second, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_like_units_add_and_pytensor_agrees(name):
    family = FAMILIES[name]
    cells, shape = family.cells, shape_of(family)
    values = np.array([1.0, 1.0, 1.0]) if cells.by_value else np.array([0.0, 1.0, 1.0])
    single = sum(cells.log_density(np, 0.4, 1.0, y, shape, SCALE) for y in values)
    together = cells.log_density(np, 0.4, 3.0, values.sum(), shape, SCALE)
    assert together == pytest.approx(single, abs=1e-12)
    symbolic = cells.log_density(
        pt, pt.as_tensor(np.float64(0.4)), 3.0, values.sum(), pt.as_tensor(shape), SCALE
    )
    assert float(symbolic.eval()) == pytest.approx(together, abs=1e-12)
    if cells.outcome_term:
        own = cells.outcome_term(pt, pt.as_tensor(values), pt.as_tensor(shape), SCALE, pt.gammaln)
        expected = cells.outcome_term(np, values, shape, SCALE, special.gammaln)
        np.testing.assert_allclose(own.eval(), expected, atol=1e-12)
        constant = (
            np.ptp(cells.outcome_term(np, np.array([0.0, 3.0]), shape, SCALE, special.gammaln)) == 0
        )
        assert constant != cells.outcome_term_varies


@pytest.mark.parametrize("name", KERNELS)
def test_its_kernel_is_its_density(name):
    family = FAMILIES[name]
    density, derivatives = family.cells.kernel
    shape, step = shape_of(family), 1e-6
    for eta in (-40.0, -1.0, 0.3, 2.0):
        value, slope, in_shape = density(eta, 5.0, 3.0, shape)
        arguments = (5.0, 3.0, shape, 1.0)
        assert value == pytest.approx(family.cells.log_density(np, eta, *arguments), abs=1e-10)
        score, information = family.cells.score_and_information(eta, *arguments)
        assert slope == pytest.approx(score, abs=1e-10)
        assert derivatives(eta, 5.0, 3.0, shape) == pytest.approx((score, information), abs=1e-10)
        above, below = (density(eta, 5.0, 3.0, shape + move)[0] for move in (step, -step))
        assert in_shape == pytest.approx((above - below) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_its_link_goes_there_and_back(name):
    link = FAMILIES[name].link
    eta = np.array([-3.0, 0.0, 2.5])
    np.testing.assert_allclose(link.of_mean(link.mean(eta)), eta, atol=1e-12)
    ends = link.of_mean(link.inside(np.array([-1e9, 1e9]), 1e-6))
    assert np.isfinite(ends).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_draws_has_its_mean_and_support(name):
    """Within four and a half Monte Carlo errors."""
    family, rng, size = FAMILIES[name], np.random.default_rng(7), 40_000
    eta, shape = np.full(size, 0.4), shape_of(family)
    y = family.draw_units(rng, eta, shape, SCALE).astype(float)
    assert y.shape == (size,)
    if family.support:
        assert not family.support.outside(y).any()
        assert family.support.outside(np.array([-1.0])).all()
        assert family.support.fault
        assert family.support.remedy
    modelled = family.transformed(y)
    mean = family.link.mean(0.4)
    assert abs(modelled.mean() - mean) < 4.5 * modelled.std() / np.sqrt(size)
    totals = family.draw_totals(rng, eta, np.full(size, 6.0), shape, SCALE)
    assert abs(totals.mean() - 6 * mean) < 4.5 * totals.std() / np.sqrt(size)
    ratio = totals.var() / (6 * modelled.var())
    assert ratio == pytest.approx(1, abs=0.15 if name == "student_t" else 0.05)
    np.testing.assert_allclose(family.restored(modelled), y)
    if name in SCIPY and not family.is_discrete:
        assert stats.kstest(y, SCIPY[name](0.4, shape).cdf).pvalue > 1e-4


def experiment(name):
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "spillover": "exposed"},
        outcome={"column": "y", "family": name},
    )
    made = bc.simulate.SyntheticExperiment(spec, n_clusters=10, cluster_size=12)
    return bc.Experiment(made.simulate(2), spec)


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_that_follows_knows_it(name):
    """From data to model, card, replicates and estimands, without a fit."""
    exp = experiment(name)
    family = FAMILIES[name]
    model = bc.build_model(exp)
    assert set(resolved_priors(exp)) <= {variable.name for variable in model.free_RVs}
    log_density = model.compile_logp(mode="FAST_COMPILE")
    assert np.isfinite(log_density(model.initial_point()))
    card = bc.model_card(exp)
    assert family.words.equation in card
    assert ("cells" in card.partition("Fitted to")[2]) == (family.cells is not None)
    assert model_kind(exp)
    rng = np.random.default_rng(1)
    labels = {"cluster": labels_of(exp.moments().clusters), "stratum": np.array([])}
    prior = draw_prior(exp, labels, rng)
    draws = ParameterDraws.of(prior, exp).flattened()[:50]
    likelihood = likelihood_of(exp)
    assert np.isfinite(likelihood.log_likelihood(draws)).all()
    assert likelihood.draw_cluster_means(rng, draws).shape == (50, 10)
    groups = Groups.of(exp)
    replicates = replicate(rng, exp, groups, draws)
    assert replicates.totals.shape == (50, len(groups.n))
    assert (replicates.zeros is not None) == family.is_count
    check = bc.checks.prior_predictive_check(exp)
    assert check.scale == family.words.cluster_mean


@pytest.mark.parametrize("name", FAMILIES)
def test_outcomes_outside_its_support_are_refused(name):
    family, exp = FAMILIES[name], experiment(name)
    made = bc.simulate.SyntheticExperiment(exp.spec, n_clusters=10, cluster_size=12).simulate(2)
    made["y"] = made["y"].astype(float)
    made.loc[3, "y"] = -1.0
    if family.support is None:
        assert bc.Experiment(made, exp.spec).n_units == 120
        return
    with pytest.raises(bc.errors.OutcomeError, match=rf"{family.support.fault} in 1 of 120 rows"):
        bc.Experiment(made, exp.spec)
