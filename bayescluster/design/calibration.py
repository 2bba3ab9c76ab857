"""Simulation-based calibration: whether posterior probabilities of the truth are correct."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats, Integers
from .._support.calls_to_figures_and_report import draw
from .._support.tidy import Tidy
from ..bayes.exact.fit_exact import exact_posteriors
from ..bayes.fit import fit
from ..data.cell_counts import CellCounts
from ..data.cluster_moments import ClusterMoments
from ..data.experiment import Experiment
from ..errors import SpecError
from ..spec.model_spec import ModelSpec
from ..spec.priors import Prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..simulate.synthetic_experiment import SyntheticExperiment


#: Probability of a false alarm, over all parameters together, at which the verdict changes.
FALSE_ALARM = 0.01


@dataclass(frozen=True, eq=False)
class Calibration(Tidy):
    """Position of the truth in the posteriors of simulated experiments.

    Parameters
    ----------
    pit : DataFrame
        One row per simulation, one column per parameter: the posterior probability of a value below
        the parameter's true value, which is uniform if the posterior is correct.
    spec : ModelSpec
        The specification.
    seed : int
        Seed of the simulations.
    """

    pit: pd.DataFrame
    spec: ModelSpec
    seed: int

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per parameter.

        Columns are parameter, n_simulations, mean, largest_gap, p_value and verdict. `mean` is that
        of the probabilities, 0.5 if they are uniform; `largest_gap` is the largest distance of
        their empirical distribution from the uniform one, `p_value` that of the Kolmogorov-Smirnov
        test. The verdict is problem if p is below 0.01 / number of parameters.
        """
        from scipy import stats

        rows = []
        for name, values in self.pit.items():
            test = stats.kstest(values, "uniform")
            rows.append((name, len(values), values.mean(), test.statistic, test.pvalue))
        columns = ["parameter", "n_simulations", "mean", "largest_gap", "p_value"]
        table = pd.DataFrame(rows, columns=columns)
        flagged = table["p_value"] < FALSE_ALARM / len(table)
        return table.assign(verdict=np.where(flagged, "problem", "ok"))

    def plot(self) -> Figure:
        """Draw ArviZ's plot of the probabilities' distribution, with its simultaneous envelope."""
        return draw("model_checks.calibration", self)


def calibrate(
    generator: SyntheticExperiment,
    n_simulations: int = 500,
    *,
    draws: int = 250,
    tune: int = 500,
    chains: int = 4,
    seed: int = 0,
) -> Calibration:
    """Simulate parameters from the prior and data from the model, and locate the truth.

    Each experiment has the same design (clusters, treatment, exposure), drawn once. Gaussian and
    lognormal posteriors are integrated, so the probabilities are exact; others are sampled, with
    one compiled model for all.

    Parameters
    ----------
    generator : SyntheticExperiment
        The design and its specification. Each prior must be in the outcome's own unit
        (unit = "outcome"), because a prior scaled by the data cannot be drawn before them.
        Covariates, strata and varying effects are not simulated.
    n_simulations : int
        Number of experiments.
    draws, tune, chains : int
        Settings of each sampled posterior; see :func:`fit`.
    seed : int
        Random seed.

    Returns
    -------
    Calibration
        The probabilities, one verdict per parameter, and a plot.

    Raises
    ------
    SpecError
        If a prior takes its scale from the data, the design cannot be simulated, or outcomes drawn
        from the priors are all alike or too large for a count.

    References
    ----------
    Cook, Gelman & Rubin (2006), Journal of Computational and Graphical Statistics 15: 675-692;
    Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv 1804.06788.
    """
    if n_simulations < 1:
        raise ValueError(f"n_simulations must be at least 1; given {n_simulations}")
    spec = generator.spec
    priors = _own_priors(spec)
    rng = np.random.default_rng(seed)
    cluster, x = _design(generator, seed)
    truths, experiments = [], []
    for truth, y in _simulate(rng, spec, priors, cluster, x, n_simulations):
        truths.append(truth)
        experiments.append(_compressed(spec, y, x, cluster))
    table = pd.DataFrame(truths)
    if spec.family.cells is None:
        return Calibration(_integrated(experiments, table), spec, seed)
    sampling = {"draws": draws, "tune": tune, "chains": chains, "progressbar": False}
    rows = [
        _sampled(build(), truth, seed + i, sampling)
        for i, (build, truth) in enumerate(zip(experiments, truths, strict=True))
    ]
    return Calibration(pd.DataFrame(rows), spec, seed)


def _compressed(spec: ModelSpec, y: Floats, x: Floats, cluster: Integers) -> partial[Experiment]:
    """Return a builder of the experiment of simulated units, compressed as its family needs."""
    names, outcome = spec.design.effects, spec.outcome.column
    if spec.family.cells is None:
        values = spec.family.transformed(y)
        moments = ClusterMoments.from_arrays(values, x, cluster, names, outcome=outcome)
        return partial(Experiment.from_moments, moments, spec)
    by_value = spec.family.cells.by_value
    cells = CellCounts.from_arrays(y, x, cluster, names, outcome=outcome, by_value=by_value)
    return partial(Experiment.from_cells, cells, spec)


def _own_priors(spec: ModelSpec) -> dict[str, Prior]:
    """Return the prior of each parameter; all must be in the outcome's unit."""
    varying, design = spec.heterogeneity, spec.design
    if spec.outcome.adjusted_for or design.strata or varying.slopes or varying.between_sd_by_arm:
        raise SpecError("calibrate does not simulate covariates, strata or varying effects")
    names = ["intercept_mean", *design.effects, "between_sd", *spec.family.parameters]
    priors = {name: getattr(spec.priors, name) for name in names}
    if scaled := [name for name, prior in priors.items() if prior.unit != "outcome"]:
        raise SpecError(
            f"the prior of {', '.join(scaled)} takes its scale from the data: set "
            "unit = 'outcome' to calibrate"
        )
    return priors


def _design(generator: SyntheticExperiment, seed: int) -> tuple[Integers, Floats]:
    """Return cluster and regressors of each unit, drawn once; shapes (N,) and (N, p)."""
    spec = generator.spec
    rows = generator.simulate(seed)
    columns = {"direct": rows[spec.design.treatment].to_numpy(float)}
    if spec.design.spillover:
        columns["spillover"] = rows[spec.design.spillover].to_numpy(float)
        columns["interaction"] = columns["direct"] * columns["spillover"]
    if spec.design.saturation:
        saturation = rows[spec.design.saturation].to_numpy(float)
        columns["within_spillover"] = (1 - columns["direct"]) * saturation
    x = np.column_stack([columns[name] for name in spec.design.effects])
    return rows[spec.design.cluster].to_numpy(), x


def _simulate(
    rng: np.random.Generator,
    spec: ModelSpec,
    priors: dict[str, Prior],
    cluster: Integers,
    x: Floats,
    count: int,
) -> Iterator[tuple[dict[str, float], Floats]]:
    """Yield parameters drawn from the prior, and outcomes drawn given the parameters."""
    family, clusters = spec.family, int(cluster.max()) + 1
    for simulation in range(count):
        truth = {name: float(prior.draw(rng, (1,))[0]) for name, prior in priors.items()}
        intercept = rng.normal(truth["intercept_mean"], truth["between_sd"], clusters)
        eta = intercept[cluster] + x @ [truth[name] for name in spec.design.effects]
        shape = truth[family.extra.name] if family.extra else None
        scale = truth.get("within_sd")
        y = family.restored(family.draw_totals(rng, eta, np.ones(len(eta)), shape, scale))
        if not (np.isfinite(y).all() and np.ptp(y) > 0):
            what = "all alike" if np.isfinite(y).all() else "too large"
            raise SpecError(
                f"the priors allow outcomes that are {what} (simulation {simulation + 1:,}), "
                "which cannot be analysed: use narrower priors, or more clusters and units"
            )
        yield truth, y


def _integrated(experiments: list[partial[Experiment]], truths: pd.DataFrame) -> pd.DataFrame:
    known = {name: truths[name].to_numpy() for name in truths}
    table = exact_posteriors((build() for build in experiments), truth=known)
    return table.pivot_table("cdf", index="experiment", columns="parameter")[list(truths)]


def _sampled(
    exp: Experiment, truth: dict[str, float], seed: int, sampling: dict[str, Any]
) -> dict[str, float]:
    import warnings

    with warnings.catch_warnings():  # short chains: what counts is where the truths lie together
        warnings.simplefilter("ignore", UserWarning)
        posterior = fit(exp, seed=seed, **sampling)["posterior"]
    return {name: float((posterior[name] < value).mean()) for name, value in truth.items()}
