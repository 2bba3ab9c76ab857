"""Likelihoods of cells, against integrals of products of the densities of single units."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rows import log_trapezoid, regressors, unconstrained, unit_log_density
from scipy import stats

import bayescluster as bc
from bayescluster.bayes.cells import cell_models
from bayescluster.bayes.cells.intercept_quadrature import Layout, integrated_log_likelihood
from bayescluster.bayes.cells.quadrature_kernel import _compiled
from bayescluster.bayes.gaussian.gaussian_likelihood import GaussianStatistics
from bayescluster.bayes.gaussian.gaussian_slopes import SlopesLikelihood
from bayescluster.bayes.model_inputs import (
    ModelKind,
    cell_likelihood,
    gaussian_statistics,
    model_kind,
)
from bayescluster.bayes.parameter_draws import ParameterDraws
from bayescluster.bayes.recovered_intercepts import likelihood_of
from bayescluster.spec.families import FAMILIES

LINKED = tuple(name for name, family in FAMILIES.items() if family.cells and family.cells.kernel)
COVARIATES = {"covariates": ["age", "cluster_size", "plan"]}
DESIGNS = {
    "full": (
        {"spillover": "exposed", "interaction": True, "strata": "pair"},
        COVARIATES | {"pre_period": "before"},
        {"between_sd_by_arm": True},
    ),
    "rollout": (
        {"spillover": "exposed", "level": "unit", "saturation": "share"},
        {"covariates": ["age"]},
        {},
    ),
    "one_slope": ({"level": "unit", "saturation": "share"}, {}, {"slopes": ["direct"]}),
    "two_slopes": (
        {"spillover": "exposed", "level": "unit"},
        {"covariates": ["age"]},
        {"slopes": ["direct", "spillover"]},
    ),
    "plain": ({"spillover": "exposed"}, {}, {}),
}


def make(family, design, seed=1, n_clusters=6, cluster_size=9, **parameters):
    """Return units, which lie in the order of their clusters, and their experiment."""
    roles, outcome, heterogeneity = DESIGNS[design]
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"} | roles,
        outcome={"column": "y", "family": family} | outcome,
        heterogeneity=heterogeneity,
    )
    frame = bc.simulate.SyntheticExperiment(
        spec,
        n_clusters=n_clusters,
        cluster_size=cluster_size,
        dose=True,
        exposed_share=0.5,
        categories={"plan": ("free", "pro", "team")},
        parameters=parameters,
    ).simulate(seed)
    if "age" in frame and design != "full":
        frame["age"] = frame["age"].round()  # cells of several units
    return frame, bc.Experiment(frame, spec)


def random_point(rng, exp):
    """Values of all parameters of a model."""
    spec, strata = exp.spec, len(exp.moments().stratum_levels)
    point = {"intercept_mean": rng.normal(0, 0.5)}
    point |= {name: rng.normal(0, 0.4) for name in exp.moments().names}
    arms = 2 if spec.heterogeneity.between_sd_by_arm else None
    point["between_sd"] = rng.uniform(0.05, 1.2, arms)
    point |= {f"{name}_sd": rng.uniform(0.05, 1) for name in spec.heterogeneity.slopes}
    if spec.design.strata:
        effects = rng.normal(0, 0.5, strata)
        point["stratum_effect"] = effects - effects.mean()
    if spec.outcome.family not in LINKED:
        point["within_sd"] = rng.uniform(0.4, 1.5)
    if spec.outcome.family == "negative_binomial":
        point["overdispersion"] = rng.uniform(0.05, 2)
    if spec.outcome.family == "student_t":
        point["degrees_of_freedom"] = rng.uniform(2.5, 20)
    return point


def shape_of(point):
    return point.get("overdispersion", point.get("degrees_of_freedom"))


def level_and_sd(point, exp):
    """Mean and standard deviation of each cluster's intercept; shape (J,) each."""
    groups = exp.moments().n_clusters
    level = np.full(groups, point["intercept_mean"])
    if "stratum_effect" in point:
        level = level + point["stratum_effect"][exp.moments().stratum_code]
    sd = np.atleast_1d(point["between_sd"])
    return level, sd[exp.treated.astype(int) if len(sd) > 1 else np.zeros(groups, int)]


def as_draws(points, exp):
    """The same points as the package takes them, one a draw."""
    extra = [shape_of(p) for p in points]
    slopes = [f"{name}_sd" for name in exp.spec.heterogeneity.slopes]
    within = [p.get("within_sd") for p in points]
    level, sd = zip(*(level_and_sd(p, exp) for p in points), strict=True)
    return ParameterDraws(
        level=np.array(level),
        effects=np.array([[p[name] for name in exp.moments().names] for p in points]),
        between_sd=np.array(sd),
        within_sd=None if within[0] is None else np.array(within),
        shape=None if extra[0] is None else np.array(extra),
        slope_sd=np.array([[p[name] for name in slopes] for p in points]) if slopes else None,
    )


def rows_log_likelihood(frame, exp, point, points=4001, slope_points=241):
    """Log-density of each cluster's rows, by dense trapezoids over 11 prior SDs either way.

    Over one grid for the intercept, and another for each effect that varies.
    """
    columns = regressors(frame, exp)
    family, level, sd = exp.spec.outcome.family, *level_and_sd(point, exp)
    eta = sum(point[name] * column for name, column in columns.items())
    y, slopes = frame["y"].to_numpy(), exp.spec.heterogeneity.slopes
    z = np.linspace(-11, 11, points)
    values = []
    for j, label in enumerate(exp.moments().clusters):
        rows = np.flatnonzero(frame["team"].to_numpy() == label)
        axes = [z] + [np.linspace(-11, 11, slope_points)] * len(slopes)
        grid = np.meshgrid(*axes, indexing="ij", sparse=True)
        total = sum(-(x**2) / 2 - np.log(2 * np.pi) / 2 for x in grid)
        for i in rows:
            linear = level[j] + sd[j] * grid[0] + eta[i]
            for name, x in zip(slopes, grid[1:], strict=True):
                linear = linear + point[f"{name}_sd"] * x * columns[name][i]
            scale = point.get("within_sd")
            total = total + unit_log_density(family, y[i], linear, shape_of(point), scale)
        steps = [axis[1] - axis[0] for axis in axes]
        values.append(log_trapezoid(np.ravel(total), np.prod(steps)))
    return np.array(values)


def model_log_density(model):
    """The log-density of the units alone, priors apart, as a function of a model's point."""
    units = model.logp(vars=[model["units"]], sum=True)
    return model.compile_fn(
        units, inputs=model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore"
    )


@pytest.mark.parametrize("design", ["full", "rollout"])
@pytest.mark.parametrize("family", LINKED)
def test_integrated_models_equal_the_rows(family, design):
    """At 12 random points: PyMC's model, and each cluster in NumPy; the default nodes."""
    frame, exp = make(family, design, between_sd=0.5)
    assert model_kind(exp) is ModelKind.CELLS_INTEGRATED
    model, rng = bc.build_model(exp), np.random.default_rng(3)
    log_density = model_log_density(model)
    points = [random_point(rng, exp) for _ in range(12)]
    ours = likelihood_of(exp).log_likelihood(as_draws(points, exp))
    for i, point in enumerate(points):
        rows = rows_log_likelihood(frame, exp, point)
        assert ours[i] == pytest.approx(rows, abs=1e-8)
        assert float(log_density(unconstrained(model, point))) == pytest.approx(
            rows.sum(), abs=1e-8
        )


@pytest.mark.parametrize("family", LINKED)
def test_more_nodes_reach_rounding(family):
    """Rare outcomes and a wide range of parameters: hard for few nodes."""
    frame, exp = make(family, "plain", seed=4, intercept_mean=-2.5, between_sd=0.8)
    data, rng = cell_likelihood(exp), np.random.default_rng(5)
    points = [
        random_point(rng, exp) | {"intercept_mean": mean, "between_sd": sd}
        for mean in (-6.0, -2.0, 1.0)
        for sd in (0.05, 0.7, 2.0)
    ]
    draws = as_draws(points, exp)
    rows = np.array([rows_log_likelihood(frame, exp, point) for point in points])
    fine = replace(data)
    fine.__dict__["nodes"] = 121
    assert fine.log_likelihood(draws) == pytest.approx(rows, abs=1e-10)
    assert np.abs(data.log_likelihood(draws) - rows).sum(axis=1).max() < 1e-6


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(
    ("family", "design"),
    [("student_t", "full"), ("student_t", "two_slopes"), *((f, "two_slopes") for f in LINKED)],
)
def test_sampled_models_equal_the_rows(family, design, centred, monkeypatch):
    """Given intercepts and slopes, the log-density of all units is the sum over rows."""
    monkeypatch.setattr(cell_models, "is_informative", lambda data: centred)
    frame, exp = make(family, design)
    assert model_kind(exp) is ModelKind.CELLS_SAMPLED
    model, rng = bc.build_model(exp), np.random.default_rng(7)
    log_density = model_log_density(model)
    columns, code = regressors(frame, exp), frame["team"].to_numpy()
    constant = [
        name for name, x in columns.items() if pd.Series(x).groupby(code).nunique().max() == 1
    ]
    groups = exp.moments().n_clusters
    for _ in range(10):
        point = random_point(rng, exp)
        level, sd = level_and_sd(point, exp)
        standard = {
            name: rng.standard_normal(groups)
            for name in (
                "cluster_level",
                *(f"{s}_of_cluster" for s in exp.spec.heterogeneity.slopes),
            )
        }
        eta = (level + sd * standard["cluster_level"])[code]
        eta = eta + sum(point[name] * column for name, column in columns.items())
        for name in exp.spec.heterogeneity.slopes:
            deviation = point[f"{name}_sd"] * standard[f"{name}_of_cluster"]
            eta = eta + deviation[code] * columns[name]
        rows = unit_log_density(
            family, frame["y"], eta, shape_of(point), point.get("within_sd")
        ).sum()
        values = point | {f"{name}_standard": z for name, z in standard.items()}
        if centred:
            first = np.unique(code, return_index=True)[1]
            between = sum((point[name] * columns[name][first] for name in constant), np.zeros(1))
            values["cluster_level"] = level + between + sd * standard["cluster_level"]
        assert float(log_density(unconstrained(model, values))) == pytest.approx(rows, abs=1e-8)


def test_student_t_by_cluster_equals_the_rows():
    frame, exp = make("student_t", "full")
    points = [random_point(np.random.default_rng(i), exp) for i in range(10)]
    ours = likelihood_of(exp).log_likelihood(as_draws(points, exp))
    rows = np.array([rows_log_likelihood(frame, exp, point) for point in points])
    assert ours == pytest.approx(rows, abs=1e-6)


def test_student_t_counts_tied_values_in_clusters_of_unequal_size():
    frame, _ = make("student_t", "plain")
    frame["y"] = frame["y"].round()
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "spillover": "exposed"},
        outcome={"column": "y", "family": "student_t"},
        heterogeneity={"size_effects": False},
    )
    frame = frame.iloc[4:]
    exp = bc.Experiment(frame, spec)
    assert exp.cells().n.max() > 1
    points = [random_point(np.random.default_rng(i), exp) for i in range(4)]
    ours = likelihood_of(exp).log_likelihood(as_draws(points, exp))
    rows = np.array([rows_log_likelihood(frame, exp, point) for point in points])
    assert ours == pytest.approx(rows, abs=1e-6)


@pytest.mark.parametrize("family", [*LINKED, "student_t"])
def test_one_slope_is_integrated_out(family):
    """Clusters where the effect varies, where no one is treated, and where every one is."""
    frame, _ = make(family, "one_slope", n_clusters=6, cluster_size=6)
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated", "level": "unit"},
        outcome={"column": "y", "family": family},
        heterogeneity={"slopes": ["direct"]},
    )
    frame.loc[frame["team"] == 2, "treated"] = 1
    frame.loc[frame["team"] == 5, "treated"] = [0, 1, 0, 1, 1, 1]
    frame.loc[frame["team"] == 0, "treated"] = 0
    exp = bc.Experiment(frame, spec)
    data = cell_likelihood(exp)
    assert sorted(group.z.shape[-1] for group in data._slopes_groups) == [1, 2]
    points = [random_point(np.random.default_rng(i), exp) for i in range(4)]
    draws = as_draws(points, exp)
    rows = np.array([rows_log_likelihood(frame, exp, p, 501, 301) for p in points])
    assert data.log_likelihood(draws).sum(axis=1) == pytest.approx(rows.sum(axis=1), abs=5e-3)
    tolerance = 1e-8 if family in LINKED else 1e-4
    fine = data._slopes_integrated(draws, 41)[:, data.profiles.profile]
    default = data._slopes_integrated(draws, data.slopes_nodes)[:, data.profiles.profile]
    own = data.log_likelihood(draws) - default  # the part that depends on outcomes alone
    assert fine + own == pytest.approx(rows, abs=tolerance)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_two_slopes_are_integrated_out(family):
    frame, exp = make(family, "two_slopes", n_clusters=4, cluster_size=5, seed=3)
    points = [random_point(np.random.default_rng(i), exp) for i in range(2)]
    draws, data = as_draws(points, exp), cell_likelihood(exp)
    assert max(group.z.shape[-1] for group in data._slopes_groups) == 3
    rows = np.array([rows_log_likelihood(frame, exp, p, 121, 101) for p in points])
    assert data.log_likelihood(draws) == pytest.approx(rows, abs=1e-4)


def test_slopes_of_no_spread_are_no_slopes():
    """With vanishing slope_sd the marginal is that of the model without slopes."""
    for design in ("one_slope", "two_slopes"):
        _, exp = make("bernoulli", design, cluster_size=20)
        data = cell_likelihood(exp)
        draws = as_draws([random_point(np.random.default_rng(2), exp)], exp)
        still = replace(draws, slope_sd=np.full_like(draws.slope_sd, 1e-9))
        plain = replace(data, slopes=()).log_likelihood(still)
        assert data.log_likelihood(still) == pytest.approx(plain, abs=1e-5)


def dense_log_density(y, mean, cov):
    return stats.multivariate_normal(mean, cov).logpdf(y)


@pytest.mark.parametrize("design", ["full", "rollout", "one_slope", "two_slopes"])
@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_gaussian_models_equal_the_multivariate_normal_of_the_rows(family, design):
    frame, exp = make(family, design)
    model, rng = bc.build_model(exp), np.random.default_rng(11)
    slopes = exp.spec.heterogeneity.slopes
    if slopes:
        log_density, constant = model_log_density(model), 0.0
    else:
        nodes = [model[name] for name in ("cluster_mean", "within_score", "within_ss")]
        log_density = model.compile_fn(
            model.logp(vars=nodes, sum=True), inputs=model.value_vars, mode="FAST_COMPILE"
        )
        constant = gaussian_statistics(exp).log_jacobian
    y = frame["y"].to_numpy()
    y = np.log(y) if family == "lognormal" else y
    columns, code = regressors(frame, exp), frame["team"].to_numpy()
    same = (code[:, None] == code).astype(float)
    points = [random_point(rng, exp) for _ in range(10)]
    by_cluster = likelihood_of(exp).log_likelihood(as_draws(points, exp))
    for i, point in enumerate(points):
        level, sd = level_and_sd(point, exp)
        mean = level[code] + sum(point[name] * column for name, column in columns.items())
        cov = point["within_sd"] ** 2 * np.eye(len(y)) + sd[code] ** 2 * same
        for name in slopes:
            z = columns[name]
            cov = cov + point[f"{name}_sd"] ** 2 * np.outer(z, z) * same
        rows = dense_log_density(y, mean, cov)
        ours = float(log_density(unconstrained(model, point))) + constant
        assert ours == pytest.approx(rows, abs=1e-8)
        own = [
            dense_log_density(y[code == j], mean[code == j], cov[np.ix_(code == j, code == j)])
            for j in range(6)
        ]
        assert by_cluster[i] == pytest.approx(own, abs=1e-8)


def test_gaussian_slopes_follow_their_exact_conditional():
    """Mean and covariance of drawn intercepts and slopes, within four Monte Carlo errors."""
    frame, exp = make("gaussian", "two_slopes")
    point = random_point(np.random.default_rng(1), exp)
    draws, size = as_draws([point], exp), 20_000
    repeated = ParameterDraws(
        **{
            name: np.repeat(value, size, axis=0)
            for name in draws.__dataclass_fields__
            if (value := getattr(draws, name)) is not None
        }
    )
    drawn = SlopesLikelihood.of(exp).draw_varying(np.random.default_rng(2), repeated)
    columns, code, y = regressors(frame, exp), frame["team"].to_numpy(), frame["y"].to_numpy()
    names, (level, sd) = exp.spec.heterogeneity.slopes, level_and_sd(point, exp)
    fixed = sum(point[name] * column for name, column in columns.items() if name not in names)
    for j in range(6):
        rows = code == j
        Z = np.column_stack([np.ones(rows.sum()), *(columns[name][rows] for name in names)])
        prior_sd = np.array([sd[j], *(point[f"{name}_sd"] for name in names)])
        prior_mean = np.array([level[j], *(point[name] for name in names)])
        cov = np.linalg.inv(Z.T @ Z / point["within_sd"] ** 2 + np.diag(1 / prior_sd**2))
        right = Z.T @ (y - fixed)[rows] / point["within_sd"] ** 2 + prior_mean / prior_sd**2
        gap = drawn[:, j].mean(axis=0) - cov @ right
        assert (np.abs(gap) < 4.5 * np.sqrt(np.diag(cov) / size)).all()
        ratio = np.cov(drawn[:, j].T) / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
        expected = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
        assert np.abs(ratio - expected).max() < 4.5 * np.sqrt(2 / size)


def kernel_inputs(family, seed, profiles=5, width=3):
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 6, (profiles, width)).astype(float)
    n[:, 0] += 1
    if family == "bernoulli":
        total = rng.binomial(n.astype(int), 0.4).astype(float)
    else:
        total = rng.poisson(n * 1.3).astype(float)
    start = np.log((total.sum(1) + 0.5) / (n.sum(1) + 1))
    return {
        "level": rng.normal(0, 1, profiles),
        "offset": rng.normal(0, 0.7, (profiles, width)) * (n > 0),
        "between_sd": rng.uniform(0.2, 1.5, profiles),
        "shape": np.array(0.7),
        "n": n,
        "total": total,
        "start": start,
        "count": rng.integers(1, 4, profiles).astype(float),
    }


@pytest.mark.parametrize("family", LINKED)
def test_the_compiled_kernel_equals_numpy_and_its_gradient_finite_differences(family):
    kernel = _compiled(family, 61)
    for seed in range(5):
        inputs = kernel_inputs(family, seed)
        value, *gradient = kernel(*inputs.values())
        numpy = integrated_log_likelihood(
            FAMILIES[family],
            Layout(inputs["n"], inputs["total"], inputs["start"]),
            inputs["level"],
            inputs["offset"],
            inputs["between_sd"],
            inputs["shape"][..., None, None, None],
            np.ones((1, 1, 1)),
            61,
        )
        assert float(value) == pytest.approx(float(numpy @ inputs["count"]), abs=1e-10)
        for name, derivative in zip(
            ("level", "offset", "between_sd", "shape"), gradient, strict=True
        ):
            for at in np.ndindex(inputs[name].shape):
                moved, step = [], 1e-5
                for sign in (1, -1):
                    changed = inputs[name].copy()
                    changed[at] += sign * step
                    moved.append(float(kernel(*(inputs | {name: changed}).values())[0]))
                slope = (moved[0] - moved[1]) / (2 * step)
                assert float(derivative[at]) == pytest.approx(slope, abs=2e-6, rel=2e-6)


EXTREMES = [
    {"level": 700.0},
    {"level": -700.0},
    {"offset": 700.0},
    {"offset": -700.0},
    {"offset": "apart"},
    {"between_sd": 1e-8},
    {"between_sd": 1e4},
    {"shape": 1e-10},
    {"shape": 1e6},
    {"level": 700.0, "between_sd": 1e-8, "shape": 1e6},
    {"level": -700.0, "between_sd": 1e-8, "shape": 1e-10},
]


@pytest.mark.parametrize("extreme", EXTREMES, ids=str)
@pytest.mark.parametrize("family", LINKED)
def test_extreme_inputs_never_give_nan(family, extreme):
    inputs = kernel_inputs(family, 3)
    for name, value in extreme.items():
        if value == "apart":
            inputs[name] = np.tile([700.0, -700.0, 0.0], (5, 1))
        else:
            inputs[name] = np.full_like(inputs[name], value)
    value, *gradient = _compiled(family, 61)(*inputs.values())
    assert np.isfinite(value) or value == -np.inf
    if np.isfinite(value):
        assert all(np.isfinite(derivative).all() for derivative in gradient)
    numpy = integrated_log_likelihood(
        FAMILIES[family],
        Layout(inputs["n"], inputs["total"], inputs["start"]),
        inputs["level"],
        inputs["offset"],
        inputs["between_sd"],
        inputs["shape"][..., None, None, None],
        np.ones((1, 1, 1)),
        61,
    )
    assert not np.isnan(numpy).any()


def test_near_zero_overdispersion_is_poisson():
    _, exp = make("negative_binomial", "plain")
    _, poisson = make("poisson", "plain")
    same = bc.Experiment.from_cells(exp.cells(), poisson.spec)
    point = random_point(np.random.default_rng(1), exp) | {"overdispersion": 1e-10}
    ours = cell_likelihood(exp).log_likelihood(as_draws([point], exp))
    del point["overdispersion"]
    theirs = cell_likelihood(same).log_likelihood(as_draws([point], same))
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("family", LINKED)
def test_intercepts_follow_their_exact_conditional(family):
    """Mean and variance of drawn intercepts, within four Monte Carlo errors, by quadrature."""
    frame, exp = make(family, "rollout")
    point, size = random_point(np.random.default_rng(3), exp), 20_000
    one = as_draws([point], exp)
    draws = ParameterDraws(
        **{
            name: np.repeat(value, size, axis=0)
            for name in one.__dataclass_fields__
            if (value := getattr(one, name)) is not None
        }
    )
    drawn = cell_likelihood(exp).draw_intercepts(np.random.default_rng(4), draws)
    columns, (level, sd) = regressors(frame, exp), level_and_sd(point, exp)
    eta = sum(point[name] * column for name, column in columns.items())
    y, code = frame["y"].to_numpy(), frame["team"].to_numpy()
    for j in range(6):
        a = np.linspace(level[j] - 11 * sd[j], level[j] + 11 * sd[j], 4001)
        rows = code == j
        log_density = stats.norm.logpdf(a, level[j], sd[j]) + unit_log_density(
            family, y[rows, None], a + eta[rows, None], shape_of(point)
        ).sum(axis=0)
        weight = np.exp(log_density - log_density.max())
        weight /= weight.sum()
        moments = [weight @ (a - weight @ a) ** k for k in range(5)]
        gap = drawn[:, j].mean() - weight @ a
        assert abs(gap) < 4.5 * np.sqrt(moments[2] / size)
        error = np.sqrt((moments[4] - moments[2] ** 2) / size)
        assert abs(drawn[:, j].var() - moments[2]) < 4.5 * error


TOTALS = {
    "bernoulli": (lambda m: m * (1 - m), None),
    "poisson": (lambda m: m, None),
    "negative_binomial": (lambda m: m + 0.6 * m**2, 0.6),
    "student_t": (lambda m: 1.5**2 * 9 / 7, 9.0),
}


@pytest.mark.parametrize("units", [1.0, 7.0])
@pytest.mark.parametrize("family", TOTALS)
def test_drawn_totals_have_the_familys_moments(family, units):
    """Mean and variance of sums of outcomes, within four and a half Monte Carlo errors."""
    variance, shape = TOTALS[family]
    eta, size = 0.4, 100_000
    mean = {"bernoulli": 1 / (1 + np.exp(-eta)), "student_t": eta}.get(family, np.exp(eta))
    drawn = FAMILIES[family].draw_totals(
        np.random.default_rng(1), np.full(size, eta), np.full(size, units), shape, 1.5
    )
    sd = np.sqrt(units * variance(mean))
    assert abs(drawn.mean() - units * mean) < 4.5 * sd / np.sqrt(size)
    spread = (drawn - drawn.mean()) ** 2
    assert abs(spread.mean() - sd**2) < 4.5 * spread.std() / np.sqrt(size)


def test_totals_beyond_what_counts_hold_are_infinite():
    for family in ("poisson", "negative_binomial"):
        drawn = FAMILIES[family].draw_totals(
            np.random.default_rng(1), np.array([800.0, 0.0]), np.ones(2), 1e-3, None
        )
        assert drawn[0] == np.inf
        assert np.isfinite(drawn[1])


def test_covariates_may_bear_the_names_of_a_models_data():
    """Data that the compiled model holds never clash with parameters."""
    for family in ("bernoulli", "student_t", "gaussian"):
        names = ["n", "total", "x", "value", "mode_start", "cluster_code", "n_units", "direct_mu"]
        spec = bc.ModelSpec(
            design={"cluster": "team", "treatment": "treated"},
            outcome={"column": "y", "family": family, "covariates": names},
        )
        frame = bc.simulate.SyntheticExperiment(spec, n_clusters=8, cluster_size=6).simulate(1)
        model = bc.build_model(bc.Experiment(frame, spec), as_data=True)
        assert set(names) < {variable.name for variable in model.free_RVs}


def test_clusters_of_single_units_have_a_likelihood():
    frame, _ = make("bernoulli", "plain", n_clusters=20, cluster_size=1)
    spec = bc.ModelSpec(
        design={"cluster": "team", "treatment": "treated"},
        outcome={"column": "y", "family": "bernoulli"},
    )
    exp = bc.Experiment(frame, spec)
    point = random_point(np.random.default_rng(1), exp)
    ours = cell_likelihood(exp).log_likelihood(as_draws([point], exp))
    assert ours[0] == pytest.approx(rows_log_likelihood(frame, exp, point), abs=1e-8)
    assert isinstance(likelihood_of(exp), type(cell_likelihood(exp)))
    gaussian = spec.model_copy(update={"outcome": bc.spec.OutcomeSpec(column="y")})
    student = spec.model_copy(
        update={"outcome": bc.spec.OutcomeSpec(column="y", family="student_t")}
    )
    with pytest.raises(bc.errors.FitError, match="each of the 20 clusters has a single unit"):
        bc.build_model(bc.Experiment(frame, student))
    with pytest.raises(bc.errors.FitError, match="each of the 20 clusters has a single unit"):
        GaussianStatistics.of(bc.Experiment(frame, gaussian).moments(), {})


@pytest.mark.parametrize("design", ["plain", "one_slope"])
@pytest.mark.parametrize("unit", [1.0, 1_000.0])
@pytest.mark.parametrize("outlier", [100.0, 100_000.0])
def test_outliers_and_units_do_not_mislead_the_search_for_modes(outlier, unit, design):
    """One user far out, and outcomes in other units: the same integrals, up to the Jacobian."""
    frame, known = make("student_t", design)
    frame.loc[3, "y"] = outlier
    point = random_point(np.random.default_rng(2), known)
    expected = rows_log_likelihood(frame, bc.Experiment(frame, known.spec), point)
    exp = bc.Experiment(frame.assign(y=frame["y"] * unit), known.spec)
    scaled = {k: v if k == "degrees_of_freedom" else v * unit for k, v in point.items()}
    found = cell_likelihood(exp).log_likelihood(as_draws([scaled], exp))[0]
    jacobian = frame.groupby("team").size().to_numpy() * np.log(unit)
    tolerance = 1e-7 if design == "plain" else 1e-3
    assert found + jacobian == pytest.approx(expected, abs=tolerance)


def test_medians_count_units():
    exp = bc.Experiment(
        pd.DataFrame(
            {
                "team": [0, 0, 0, 1, 1, 2, 2, 3],
                "treated": [0, 0, 0, 1, 1, 0, 0, 1],
                "y": [5, 5, 90, 1, 2, 3, 3, 4],
            }
        ),
        bc.ModelSpec(
            design={"cluster": "team", "treatment": "treated"},
            outcome={"column": "y", "family": "student_t"},
        ),
    )
    profiles = cell_likelihood(exp).profiles
    assert profiles.median[profiles.profile].tolist() == [5, 1, 3, 4]
    # Six of the eight distances from them are 0: their mean takes the place of their median.
    assert profiles.spread == pytest.approx((85 + 1) / 8)
