"""How well conversions and counts mix, from 2 to 5,000 users per cluster; and calibration."""

from __future__ import annotations

import time
import warnings

import bayescluster as bc
from bayescluster.bayes.model_inputs import cell_likelihood

from .tables import Section, figure

FAMILIES = {"bernoulli": -0.5, "poisson": 0.5}  # with the intercept of the data
CLUSTERS = (10, 50, 2_000)
USERS = (2, 50, 5_000)
LEAST = {"direct": 800, "spillover": 800, "between_sd": 200}
DESIGN = {"cluster": "cluster", "treatment": "treated", "spillover": "exposed"}


def run(quick: bool) -> list[Section]:
    """Fit the grid (only up to 50 clusters if `quick`), then calibrate."""
    warnings.simplefilter("ignore", UserWarning)  # what would be warned of is in the table
    return [_grid(CLUSTERS[:2] if quick else CLUSTERS), _calibration(50 if quick else 500)]


def _grid(clusters: tuple[int, ...]) -> Section:
    rows, failed = [], []
    for family in FAMILIES:
        for groups in clusters:
            for users in USERS:
                row, short = _cell(family, groups, users)
                rows.append(row)
                failed += short
    return Section(
        title="Mixing",
        lead=(
            "Bulk ESS of 4 x 1,000 draws (after 1,000 of warm-up each), ICC 0.1, a quarter of "
            "control users exposed. Asked for: 800 of effects, 200 of between_sd, none divergent."
        ),
        columns=[
            *("family", "clusters", "users each", "nodes", "distinct clusters"),
            *("ESS direct", "ESS spillover", "ESS between_sd", "R-hat", "divergences", "seconds"),
        ],
        rows=rows,
        notes=[
            "Seconds include sampling and everything after it (intercepts, log-likelihood, "
            "predictions), and compilation in the first line of a number of clusters and nodes."
        ],
        failed=failed,
    )


def _cell(family: str, groups: int, users: int) -> tuple[list[str], list[str]]:
    scenario = bc.simulate.Scenario(
        n_clusters=groups,
        cluster_size=users,
        family=family,
        direct=0.3,
        spillover=0.1,
        icc=0.1,
        intercept=FAMILIES[family],
    )
    spec = bc.ModelSpec(design=DESIGN, outcome={"column": "outcome", "family": family})
    exp = bc.Experiment(scenario.simulate(1), spec)
    data = cell_likelihood(exp)
    start = time.perf_counter()
    tree = bc.fit(exp, progressbar=False, seed=1)
    took = time.perf_counter() - start
    table = bc.bayes.convergence(tree)
    divergences = table.attrs["n_divergences"]
    table = table.set_index("parameter")
    where = f"{family}, {groups:,} clusters of {users:,}"
    failed = [
        f"{where}: ESS of {name} is {table.loc[name, 'ess_bulk']:.0f}"
        for name, least in LEAST.items()
        if table.loc[name, "ess_bulk"] < least
    ]
    failed += [f"{where}: {divergences} divergences"] * bool(divergences)
    row = [family, f"{groups:,}", f"{users:,}", str(data.nodes), f"{len(data.laid.count):,}"]
    row += [f"{table.loc[name, 'ess_bulk']:,.0f}" for name in LEAST]
    return [*row, f"{table['r_hat'].max():.4f}", str(divergences), figure(took)], failed


def _calibration(simulations: int) -> Section:
    rows, failed = [], []
    for family in ("gaussian", *FAMILIES):
        count = simulations if family == "gaussian" else simulations // 5
        spec = bc.ModelSpec(
            design=DESIGN, outcome={"column": "y", "family": family}, priors=_priors(family)
        )
        generator = bc.simulate.SyntheticExperiment(spec, n_clusters=30, cluster_size=20)
        start = time.perf_counter()
        table = bc.design.calibrate(generator, count, seed=3).to_dataframe()
        took = time.perf_counter() - start
        for row in table.itertuples():
            numbers = f"{row.mean:.3f}", f"{row.largest_gap:.3f}", f"{row.p_value:.3f}"
            rows.append([family, row.parameter, str(count), *numbers, figure(took / count)])
            failed += [f"{family}: {row.parameter} is not uniform"] * (row.verdict != "ok")
    return Section(
        title="Simulation-based calibration",
        lead=(
            "Posterior probability of being below the true value, over experiments drawn from the "
            "prior (30 clusters of 20 users); uniform where the posterior is right."
        ),
        columns=[
            *("family", "parameter", "simulations", "mean", "largest gap", "p (KS)"),
            "seconds each",
        ],
        rows=rows,
        notes=["Gaussian posteriors are integrated, the others sampled by one compiled model."],
        failed=failed,
    )


def _priors(family: str) -> dict[str, dict[str, object]]:
    def prior(distribution: str, **parameters: float) -> dict[str, object]:
        return {"distribution": distribution, "unit": "outcome", **parameters}

    priors = {
        "intercept_mean": prior("normal", mu=0, sigma=1),
        "direct": prior("normal", mu=0, sigma=0.5),
        "spillover": prior("normal", mu=0, sigma=0.5),
        "between_sd": prior("half_normal", sigma=0.5),
    }
    if family == "gaussian":
        priors["within_sd"] = prior("half_normal", sigma=1)
    return priors
