"""The likelihood of cells, against integrals over rows by a dense trapezoidal rule."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import special, stats

import bayescluster as bc
from bayescluster.bayes.cell_quadrature_op import IntegratedLikelihood
from bayescluster.bayes.draws import ParameterDraws
from bayescluster.bayes.families import draw_totals, mean_of
from bayescluster.bayes.slopes import SlopesLikelihood
from bayescluster.bayes.statistics import cell_likelihood, gaussian_statistics, samples_intercepts
from bayescluster.synthetic import SyntheticExperiment

POINTS = 10
ROLES = {"cluster": "team", "treatment": "treated"}
EXPOSED = {**ROLES, "spillover": "exposed"}
PARTIAL = {**ROLES, "level": "unit", "saturation": "share"}
DESIGNS = {
    "plain": {"design": ROLES},
    "covariates": {"design": EXPOSED, "covariates": ["age", "cluster_size", "plan"]},
    "strata": {"design": {**EXPOSED, "strata": "block"}},
    "interaction and dose": {"design": {**EXPOSED, "interaction": True}, "dose": True},
    "by arm": {"design": EXPOSED, "heterogeneity": {"between_sd_by_arm": True}},
    "saturation": {"design": PARTIAL},
}
COUNTS = ("bernoulli", "poisson", "negative_binomial")


def make(family, design, covariates=(), heterogeneity=None, dose=False, **sizes):
    spec = bc.ModelSpec(
        design=design,
        outcome={"column": "y", "family": family, "covariates": list(covariates)},
        heterogeneity=heterogeneity or {},
    )
    sizes = {"n_clusters": 8, "cluster_size": 12} | sizes
    maker = SyntheticExperiment(spec, dose=dose, categories={"plan": ("a", "b", "c")}, **sizes)
    frame = maker.simulate(seed=3)
    frame = frame[(frame.index % 11 != 0) | (frame["team"] != 2)].reset_index(drop=True)
    return frame, bc.Experiment(frame, spec)


class Rows:
    """Regressors of every row by names of the model, formed from the table alone."""

    def __init__(self, frame, exp):
        design, outcome = exp.spec.design, exp.spec.outcome
        self.exp, self.family = exp, outcome.family
        t = frame[design.treatment].to_numpy(float)
        s = frame[design.spillover].to_numpy(float) if design.spillover else 0 * t
        share = frame[design.saturation].to_numpy(float) if design.saturation else 0 * t
        formed = {"direct": t, "spillover": s, "interaction": t * s}
        formed["within_spillover"] = (1 - t) * share
        self.x = {name: formed[name] for name in design.effects}
        for name in outcome.covariates:
            if frame[name].dtype.kind in "if":
                self.x[name] = frame[name].to_numpy() - frame[name].mean()
                continue
            counts = frame[name].value_counts()
            first = sorted(counts.index, key=lambda level: (-counts[level], level))
            for level in first[1:]:
                indicator = (frame[name] == level).to_numpy(float)
                self.x[f"{name}[{level}]"] = indicator - indicator.mean()
        self.team = frame["team"].to_numpy()
        self.y = frame["y"].to_numpy(float)
        self.arm = np.array([t[self.team == j].max() for j in np.unique(self.team)]).astype(int)
        if design.strata:
            self.block = frame.groupby("team")[design.strata].first().to_numpy()
            self.block = np.unique(self.block, return_inverse=True)[1]

    def level(self, point):
        strata = point["stratum_effect"][self.block] if "stratum_effect" in point else 0.0
        return point["intercept_mean"] + strata + np.zeros(len(self.arm))

    def between_sd(self, point):
        sd = np.asarray(point["between_sd"])
        return sd[self.arm] if sd.ndim else sd + np.zeros(len(self.arm))

    def linear(self, point):
        return sum(point[name] * x for name, x in self.x.items())

    def units(self, eta, y, point):
        """Log-densities of units, by scipy.stats."""
        match self.family:
            case "bernoulli":
                return stats.bernoulli.logpmf(y, special.expit(eta))
            case "poisson":
                return stats.poisson.logpmf(y, np.exp(eta))
            case "negative_binomial":
                phi = point["overdispersion"]
                return stats.nbinom.logpmf(y, 1 / phi, 1 / (1 + phi * np.exp(eta)))
            case "student_t":
                return stats.t.logpdf(y, point["degrees_of_freedom"], eta, point["within_sd"])
        return stats.norm.logpdf(y, eta, point["within_sd"])

    def cluster(self, j, point, deviation=0.0, size=4001):
        """Log of the integral over cluster j's intercept of the product of its units' densities."""
        at = self.team == j
        fixed, level, sd = self.linear(point)[at], self.level(point)[j], self.between_sd(point)[j]

        def log_integrand(a):
            eta = a[:, None] + fixed + deviation
            with np.errstate(divide="ignore", over="ignore"):
                return self.units(eta, self.y[at], point).sum(axis=1) + stats.norm.logpdf(
                    a, level, sd
                )

        centre = np.linspace(level - 15 * sd, level + 15 * sd, 1501)
        values = log_integrand(centre)
        inside = centre[values > values.max() - 50]
        a, step = np.linspace(inside[0] - 0.02 * sd, inside[-1] + 0.02 * sd, size, retstep=True)
        return special.logsumexp(log_integrand(a)) + np.log(step)

    def log_likelihood(self, point):
        return np.array([self.cluster(j, point) for j in range(len(self.arm))])


def random_points(exp, seed=4, points=POINTS):
    rng, spec = np.random.default_rng(seed), exp.spec
    drawn = []
    for _ in range(points):
        point = {"intercept_mean": rng.normal(0, 0.7)}
        point |= {name: rng.normal(0, 0.5) for name in exp.moments().names}
        by_arm = 2 if spec.heterogeneity.between_sd_by_arm else None
        point["between_sd"] = rng.uniform(0.1, 1.5, by_arm)
        if spec.design.strata:
            strata = rng.normal(0, 0.5, len(exp.moments().stratum_levels))
            point["stratum_effect"] = strata - strata.mean()
        if spec.outcome.family == "negative_binomial":
            point["overdispersion"] = rng.uniform(0.1, 2)
        if spec.outcome.family == "student_t":
            point["degrees_of_freedom"] = rng.uniform(2, 20)
        if not spec.outcome.has_link:
            point["within_sd"] = rng.uniform(0.5, 2)
        point |= {f"{name}_sd": rng.uniform(0.1, 1) for name in spec.heterogeneity.slopes}
        drawn.append(point)
    return drawn


def as_draws(exp, points):
    """Stack points as one chain of draws."""
    import xarray as xr

    dims = {"stratum_effect": ["stratum"], "between_sd": ["arm"]}
    values = {}
    for name in points[0]:
        stacked = np.array([[point[name] for point in points]])
        values[name] = (["chain", "draw", *dims.get(name, [])][: stacked.ndim], stacked)
    return ParameterDraws.of(xr.Dataset(values), exp)


def with_nodes(exp, nodes):
    """Return the likelihood, held to a number of nodes."""
    data = cell_likelihood.__wrapped__(exp)
    data.__dict__["nodes"] = nodes
    return data


def unconstrained(model, values):
    """Values of the sampler's own variables, through PyMC's transforms."""
    moved = {}
    for variable in model.free_RVs:
        value, transform = np.asarray(values[variable.name], float), None
        transform = model.rvs_to_transforms[variable]
        if transform is not None:
            value = transform.forward(pt.as_tensor(value), *variable.owner.inputs)
            value = value.eval(mode="FAST_COMPILE")
        moved[model.rvs_to_values[variable].name] = value
    return moved


def compiled(model, expression):
    return model.compile_fn(
        expression, inputs=model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore"
    )


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("family", COUNTS)
def test_every_clusters_density_equals_the_integral_over_its_rows(family, design):
    frame, exp = make(family, **DESIGNS[design])
    points, rows = random_points(exp), Rows(frame, exp)
    expected = np.array([rows.log_likelihood(point) for point in points])
    default = cell_likelihood(exp).log_likelihood(as_draws(exp, points))[0]
    assert np.abs(default.sum(axis=1) - expected.sum(axis=1)).max() < 1e-8
    assert np.abs(default - expected).max() < 1e-8


@pytest.mark.parametrize(
    ("family", "design"),
    [
        ("bernoulli", "covariates"),
        ("bernoulli", "strata"),
        ("poisson", "by arm"),
        ("poisson", "saturation"),
        ("negative_binomial", "interaction and dose"),
    ],
)
def test_the_pymc_model_equals_the_integral_over_rows(family, design):
    frame, exp = make(family, **DESIGNS[design])
    assert not samples_intercepts(exp)
    model, rows = bc.build_model(exp), Rows(frame, exp)
    density = compiled(model, model.potentials[0])
    for point in random_points(exp, seed=5):
        ours = float(density(unconstrained(model, point)))
        assert ours == pytest.approx(rows.log_likelihood(point).sum(), abs=1e-8)
