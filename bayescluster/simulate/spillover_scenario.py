"""Experiments with a known truth: the tutorial's data, and a general generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats, Integers
from ..data.cluster_moments import ClusterMoments
from ..spec.families import FAMILIES
from ..spec.model_spec import ModelSpec

#: True effects in the tutorial's data.
TUTORIAL_TRUTH = {"direct": 0.80, "spillover": 0.20}
_TUTORIAL_WORKSPACES = 50


def load_tutorial(n_users: int = 50_000, seed: int = 42) -> pd.DataFrame:
    """Simulate the tutorial's table of users, with the cluster experiment added.

    Parameters
    ----------
    n_users : int
        Number of users (rows), assigned at random to 50 workspaces.
    seed : int
        Seed of both generators (users, then outcome); 42 gives the tutorial's own data.

    Returns
    -------
    DataFrame
        Sixteen columns of synthetic product data, then ``treated_workspace`` (workspaces 0 to 24),
        ``spillover_exposed`` (control users who opted in to agent mode), ``exposure`` (direct,
        spillover or pure_control) and ``session_minutes_obs``, the outcome in minutes: a workspace
        baseline + 0.80 direct + 0.20 spillover + noise.
    """
    if n_users < 1:
        raise ValueError(f"n_users must be at least 1; given {n_users}")
    return _add_experiment(_tutorial_users(n_users, seed), np.random.default_rng(seed))


def tutorial_spec() -> ModelSpec:
    """Return the specification of the tutorial's experiment, as in models/tutorial.toml.

    Returns
    -------
    ModelSpec
        For the table of :func:`load_tutorial`.
    """
    return ModelSpec(
        title="AI meeting summaries: a workspace-randomised experiment",
        question="Do AI summaries lengthen sessions, and do they spill over to control users?",
        design={
            "cluster": "workspace_id",
            "treatment": "treated_workspace",
            "spillover": "spillover_exposed",
            "unit": "user_id",
        },
        outcome={"column": "session_minutes_obs", "label": "session length (minutes)"},
        report={"rope": [-0.1, 0.1], "threshold": 0.1},
    )


def _tutorial_users(n: int, seed: int) -> pd.DataFrame:
    """Draw the sixteen columns; the order of the draws is part of the data's definition."""
    rng = np.random.default_rng(seed)
    tier = rng.choice(["light", "medium", "heavy"], size=n, p=[0.55, 0.30, 0.15])
    workspace = rng.integers(0, _TUTORIAL_WORKSPACES, size=n)
    week = rng.integers(0, 52, size=n)
    confidence = np.clip(rng.beta(5, 2, size=n), 0, 1)
    light, medium, heavy = (tier == name for name in ("light", "medium", "heavy"))
    opt_in = rng.binomial(1, np.select([heavy, medium], [0.65, 0.35], 0.12))
    wave = np.where(workspace < _TUTORIAL_WORKSPACES // 2, 1, 2)
    treatment_week = np.where(wave == 1, 20, 30)
    treated_post = (week >= treatment_week).astype(int)
    variant = np.arange(n) % 2
    premium = (confidence < 0.85).astype(int)

    completion = np.select([light, medium], [0.35, 0.55], 0.70) + 0.04 * (wave == 1)
    completion += 0.04 * variant + 0.08 * opt_in + 0.06 * premium + 0.05 * treated_post
    completion += _weekly_signal(rng)[week] + rng.normal(0, 0.015, size=n)
    completion = np.clip(completion, 0.01, 0.99)
    completed = rng.binomial(1, completion)
    thumbs = np.clip(0.2 + 0.6 * completion + rng.normal(0, 0.05, size=n), 0.01, 0.99)
    thumbs_up = rng.binomial(1, thumbs)
    minutes = np.clip(5 + 3 * heavy + 2 * opt_in + rng.normal(0, 1.5, size=n), 0.5, None)
    retention = 0.4 + 0.35 * completion + 0.1 * thumbs_up - 0.05 * light
    retained = rng.binomial(1, np.clip(retention + rng.normal(0, 0.05, size=n), 0.01, 0.99))
    return pd.DataFrame(
        {
            "user_id": np.arange(n),
            "workspace_id": workspace,
            "engagement_tier": tier,
            "signup_week": week,
            "wave": wave,
            "treatment_week": treatment_week,
            "treated_post": treated_post,
            "prompt_variant": variant,
            "opt_in_agent_mode": opt_in,
            "query_confidence": confidence.round(4),
            "routed_to_premium": premium,
            "task_completed": completed,
            "thumbs_up": thumbs_up,
            "session_minutes": minutes.round(2),
            "cost_usd": (0.002 * minutes + 0.015 * opt_in + 0.008 * premium).round(4),
            "retained_7d": retained,
        }
    )


def _weekly_signal(rng: np.random.Generator) -> Floats:
    """Return a centred AR(1) signal over the 52 weeks."""
    signal = np.zeros(52)
    for week, shock in enumerate(rng.normal(0, 0.010, size=51), start=1):
        signal[week] = 0.75 * signal[week - 1] + shock
    return signal - signal.mean()


def _add_experiment(users: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    workspace = users["workspace_id"].to_numpy()
    treated = (workspace < _TUTORIAL_WORKSPACES // 2).astype(int)
    exposed = (1 - treated) * users["opt_in_agent_mode"].to_numpy()
    baseline = rng.normal(5.0, 0.30, size=_TUTORIAL_WORKSPACES)
    noise = rng.normal(0, 0.30, size=len(users))
    outcome = baseline[workspace] + TUTORIAL_TRUTH["direct"] * treated
    outcome = outcome + TUTORIAL_TRUTH["spillover"] * exposed + noise
    return users.assign(
        treated_workspace=treated,
        spillover_exposed=exposed,
        exposure=np.select([treated == 1, exposed == 1], ["direct", "spillover"], "pure_control"),
        session_minutes_obs=outcome,
    )


@dataclass(frozen=True)
class Scenario:
    """A cluster-randomised experiment with a known truth, which can be simulated repeatedly.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, K.
    cluster_size : float
        Mean number of units in a cluster.
    size_cv : float
        Coefficient of variation of the cluster sizes (gamma distributed; 0 for equal sizes).
    treated_share : float
        Share of the clusters that are treated; their number is rounded.
    exposed_share : float
        Probability that a control unit is spillover-exposed; 0 for a design without spillover.
    intercept, direct, spillover : float
        Mean of pure controls and the two effects, on the link scale.
    icc : float
        Intracluster correlation, in [0, 1): between_sd^2 / (between_sd^2 + within_sd^2).
    outcome_sd : float
        Standard deviation given the regressors, on the link scale, between and within clusters.
    family : str
        A family without an extra parameter: ``gaussian``, ``lognormal`` (gaussian on the log
        scale), ``bernoulli`` (logit; its variance within clusters is that of the latent logistic
        distribution, pi^2 / 3) or ``poisson`` (log; between_sd = outcome_sd x sqrt(icc)).

    Examples
    --------
    >>> scenario = Scenario(n_clusters=10, cluster_size=100, direct=0.3)
    >>> scenario.simulate(seed=1).columns.tolist()
    ['unit', 'cluster', 'treated', 'exposed', 'outcome']
    """

    n_clusters: int = 50
    cluster_size: float = 1_000
    size_cv: float = 0.0
    treated_share: float = 0.5
    exposed_share: float = 0.25
    intercept: float = 0.0
    direct: float = 0.2
    spillover: float = 0.05
    icc: float = 0.1
    outcome_sd: float = 1.0
    family: str = "gaussian"

    def __post_init__(self) -> None:
        limits = {
            "n_clusters": self.n_clusters >= 2,
            "cluster_size": self.cluster_size >= 1,
            "size_cv": self.size_cv >= 0,
            "treated_share": 0 < self.treated_share < 1,
            "exposed_share": 0 <= self.exposed_share <= 1,
            "icc": 0 <= self.icc < 1,
            "outcome_sd": self.outcome_sd > 0,
            "family": self.family in FAMILIES and FAMILIES[self.family].extra is None,
        }
        if wrong := [name for name, holds in limits.items() if not holds]:
            given = {name: asdict(self)[name] for name in wrong}
            raise ValueError(
                f"the scenario is impossible: {given}; see the limits in its docstring"
            )

    @property
    def between_sd(self) -> float:
        """Standard deviation of the cluster intercepts, on the link scale."""
        if latent := FAMILIES[self.family].link.latent_variance:
            return float(np.sqrt(self.icc / (1 - self.icc) * latent))
        return self.outcome_sd * float(np.sqrt(self.icc))

    @property
    def within_sd(self) -> float:
        """Standard deviation of units within a cluster (gaussian and lognormal)."""
        return self.outcome_sd * float(np.sqrt(1 - self.icc))

    @property
    def spec(self) -> ModelSpec:
        """The specification that fits the simulated rows."""
        spillover = {"spillover": "exposed"} if self.exposed_share else {}
        return ModelSpec(
            title="Simulated experiment",
            design={"cluster": "cluster", "treatment": "treated", "unit": "unit", **spillover},
            outcome={"column": "outcome"},
        )

    def simulate(self, seed: int | None = 0) -> pd.DataFrame:
        """Draw one experiment as a table of units.

        Returns
        -------
        DataFrame
            Columns unit, cluster, treated, exposed, outcome; one row per unit.
        """
        rng = np.random.default_rng(seed)
        size, treated, baseline = self._draw_clusters(rng)
        cluster = np.repeat(np.arange(self.n_clusters), size)
        exposed = rng.binomial(1, self.exposed_share, len(cluster)) * (1 - treated[cluster])
        linear = baseline[cluster] + self.direct * treated[cluster] + self.spillover * exposed
        return pd.DataFrame(
            {
                "unit": np.arange(len(cluster)),
                "cluster": cluster,
                "treated": treated[cluster],
                "exposed": exposed,
                "outcome": self._draw_outcome(rng, linear),
            }
        )

    def simulate_moments(self, seed: int | None = 0) -> ClusterMoments:
        """Draw one experiment as moments: direct, spillover (if exposed_share > 0), outcome.

        For the gaussian family the moments are drawn from their exact distribution (normal means,
        chi-squared sums of squares), at a cost that does not depend on the number of units. For
        other families units are drawn and compressed.
        """
        names = ["direct", "spillover"] if self.exposed_share else ["direct"]
        if self.family != "gaussian":
            rows = self.simulate(seed)
            regressors = rows[["treated", "exposed"][: len(names)]]
            return ClusterMoments.from_arrays(rows["outcome"], regressors, rows["cluster"], names)
        rng = np.random.default_rng(seed)
        size, treated, baseline = self._draw_clusters(rng)
        exposed = rng.binomial(size, self.exposed_share) * (1 - treated)
        total = ClusterMoments.empty(names)
        for dose, count in ((0.0, size - exposed), (1.0, exposed)):
            linear = baseline + self.direct * treated + self.spillover * dose
            regressors = np.column_stack([treated, np.full(self.n_clusters, dose)])
            total += self._draw_cells(rng, names, count, linear, regressors[:, : len(names)])
        return total

    def _draw_cells(
        self,
        rng: np.random.Generator,
        names: list[str],
        count: Integers,
        linear: Floats,
        regressors: Floats,
    ) -> ClusterMoments:
        """Draw the moments of one group of like units, for each cluster that has such units."""
        has = count > 0
        n, k = count[has].astype(float), len(names) + 1
        cross = np.zeros((len(n), k, k))
        cross[:, -1, -1] = self.within_sd**2 * 2 * rng.standard_gamma((n - 1) / 2)
        mean = rng.normal(linear[has], self.within_sd / np.sqrt(n))
        return ClusterMoments(
            clusters=np.arange(self.n_clusters)[has],
            n=n,
            mean=np.column_stack([regressors[has], mean]),
            cross=cross,
            origin=np.zeros(k),
            names=tuple(names),
        )

    def _draw_clusters(self, rng: np.random.Generator) -> tuple[Integers, Integers, Floats]:
        """Draw sizes (at least 1), the assignment and the baselines; each of shape (K,)."""
        size = np.full(self.n_clusters, float(self.cluster_size))
        if self.size_cv:
            size = rng.gamma(1 / self.size_cv**2, self.cluster_size * self.size_cv**2, len(size))
        treated = np.zeros(self.n_clusters, dtype=np.int64)
        share = round(self.n_clusters * self.treated_share)
        treated[rng.permutation(self.n_clusters)[: min(max(share, 1), self.n_clusters - 1)]] = 1
        baseline = rng.normal(self.intercept, self.between_sd, self.n_clusters)
        return np.maximum(size.round(), 1).astype(np.int64), treated, baseline

    def _draw_outcome(self, rng: np.random.Generator, linear: Floats) -> Any:
        return FAMILIES[self.family].draw_units(rng, linear, None, self.within_sd)
