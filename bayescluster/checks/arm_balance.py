"""Covariate balance of the arms, tested against assignments drawn from the design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._support.arrays import BLOCK_ELEMENTS, Booleans, Floats
from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Verdict, judged
from .._support.tidy import Tidy
from ..data.experiment import Experiment
from ..errors import DesignError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Standardised differences beyond this deserve attention (Austin 2009, Statistics in Medicine 28:
#: 3083-3107, uses 0.1 for individuals; means of few clusters vary more).
MAX_DIFFERENCE = 0.25
#: Omnibus p-values below these mean caution, and a problem.
CAUTION, PROBLEM = 0.05, 0.001


@dataclass(frozen=True, eq=False)
class Balance(Tidy):
    """Covariate balance of treated and control clusters.

    Parameters
    ----------
    table : DataFrame
        One row per covariate, the number of units in the cluster first: covariate, treated,
        control (means of the cluster means), difference (in standard deviations of the cluster
        means), p_value (of the difference, over assignments drawn from the design).
    distance : float
        Mahalanobis distance between the arms.
    p_value : float
        Share of assignments with a distance at least as large: one test of all covariates.
    draws : int
        Number of assignments.
    """

    table: pd.DataFrame
    distance: float
    p_value: float
    draws: int

    @property
    def verdict(self) -> Verdict:
        """Verdict by the omnibus p-value."""
        return judged(self.p_value >= CAUTION, self.p_value >= PROBLEM)

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the standardised differences; see `figures.assumptions.balance`."""
        return draw("assumptions.balance", self, figure)


def balance(exp: Experiment, draws: int = 1_999, seed: int = 0) -> Balance:
    """Compare the covariates of the arms, and test all of them jointly.

    Parameters
    ----------
    exp : Experiment
        An experiment in which whole clusters were assigned. Cluster sizes and cluster means of
        its covariates are compared; each cluster counts once.
    draws : int
        Assignments drawn from the design.
    seed : int
        Seed of the draws.

    Returns
    -------
    Balance
        Standardised differences with p-values, and the omnibus test.

    Raises
    ------
    DesignError
        If single units were treated.

    Notes
    -----
    The omnibus statistic is d' S^+ d with d the differences of means and S the covariance matrix of
    the cluster means, compared with its distribution over assignments by the design's own
    mechanism, with the observed one included (Hansen & Bowers 2008, Statistical Science 23:
    219-236, without their normal approximation).
    """
    if exp.spec.design.level == "unit":
        raise DesignError("single units were treated: balance of the clusters is undefined")
    m, treated = exp.moments(), exp.treated
    names = ["units in the cluster", *exp.covariates]
    at = [m.column(name) for name in exp.covariates]
    values = np.column_stack([m.n, m.means[:, at]])
    centred = values - values.mean(axis=0)
    scale = centred.std(axis=0, ddof=1)
    standard = centred / np.where(scale > 1e-12 * np.abs(values).max(axis=0), scale, np.inf)
    root = _whitened(standard)
    observed = _differences(treated[None, :], np.column_stack([standard, root]))[0]
    k = len(names)
    difference, distance = observed[:k], float((observed[k:] ** 2).sum())
    extreme, far = np.zeros(k), 0
    rng = np.random.default_rng(seed)
    step = max(BLOCK_ELEMENTS // len(treated), 1)
    for start in range(0, draws, step):
        drawn = exp.mechanism.draw(rng, min(step, draws - start))
        found = _differences(drawn, np.column_stack([standard, root]))
        extreme += (np.abs(found[:, :k]) >= np.abs(difference) * (1 - 1e-9)).sum(axis=0)
        far += int(((found[:, k:] ** 2).sum(axis=1) >= distance * (1 - 1e-9)).sum())
    table = pd.DataFrame(
        {
            "covariate": names,
            "treated": values[treated].mean(axis=0),
            "control": values[~treated].mean(axis=0),
            "difference": difference,
            "p_value": (extreme + 1) / (draws + 1),
        }
    )
    return Balance(table, distance, (far + 1) / (draws + 1), draws)


def _whitened(standard: Floats) -> Floats:
    """Return coordinates of the clusters in which their covariance matrix is the identity."""
    left, size, _ = np.linalg.svd(standard, full_matrices=False)
    keep = size > 1e-10 * max(size.max(initial=0.0), 1e-300)
    return left[:, keep] * np.sqrt(len(standard) - 1)


def _differences(assignments: Booleans, values: Floats) -> Floats:
    """Return treated minus control means under each assignment; shape (B, columns of values)."""
    treated = assignments.sum(axis=1, keepdims=True)
    control = assignments.shape[1] - treated
    total = assignments.astype(float) @ values
    with np.errstate(divide="ignore", invalid="ignore"):
        found = total / treated - (values.sum(axis=0) - total) / control
    return np.where((treated > 0) & (control > 0), found, 0.0)
