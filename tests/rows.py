"""Row-level oracles that share no code with the package: densities, designs, points."""

import numpy as np
import pytensor.tensor as pt
from scipy import special, stats


def unit_log_density(family, y, eta, shape=None, scale=None):
    """Log-density of single units at their linear predictors, by scipy.stats."""
    match family:
        case "bernoulli":
            return stats.bernoulli.logpmf(y, special.expit(eta))
        case "poisson":
            return stats.poisson.logpmf(y, np.exp(eta))
        case "negative_binomial":
            mean = np.exp(eta)
            return stats.nbinom.logpmf(y, 1 / shape, 1 / (1 + shape * mean))
        case "student_t":
            return stats.t.logpdf(y, shape, eta, scale)
    raise AssertionError(family)


def regressors(frame, exp):
    """Regressors of every row by name, as the model has them: covariates at their mean are 0."""
    design = exp.spec.design
    treated = frame[design.treatment].to_numpy(float)
    exposed = frame[design.spillover].to_numpy(float) if design.spillover else 0 * treated
    share = frame[design.saturation].to_numpy(float) if design.saturation else 0 * treated
    effects = {
        "direct": treated,
        "spillover": exposed,
        "interaction": treated * exposed,
        "within_spillover": (1 - treated) * share,
    }
    columns = {name: effects[name] for name in design.effects}
    for name in exp.covariates:
        column, _, level = name.rstrip("]").partition("[")
        values = frame[column].to_numpy()
        values = (values == level).astype(float) if level else values.astype(float)
        columns[name] = values - values.mean()
    if exp.size_terms:
        log_size = np.log(frame.groupby(design.cluster)[design.cluster].transform("size"))
        g = (log_size - log_size.mean()).to_numpy()
        products = {f"{name}_by_log_size": g * columns[name] for name in design.effects}
        columns |= {"log_size": g} | products
    return columns


def log_trapezoid(log_values, step):
    """Log of the integral over the last axis, of a function that vanishes at both ends."""
    return special.logsumexp(log_values, axis=-1) + np.log(step)


def unconstrained(model, values):
    """Values of the sampler's own variables, through PyMC's transforms."""
    moved = {}
    for variable in model.free_RVs:
        value, transform = (
            np.asarray(values[variable.name], float),
            model.rvs_to_transforms[variable],
        )
        if transform is not None:
            value = transform.forward(pt.as_tensor(value), *variable.owner.inputs).eval()
        moved[model.rvs_to_values[variable].name] = value
    return moved
