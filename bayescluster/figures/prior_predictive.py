"""The prior predictive plot: experiments that the priors imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._support.arrays import Booleans, Floats
from ..bayes.parameter_draws import ParameterDraws
from ..bayes.recovered_intercepts import draw_prior, labels_of, likelihood_of
from ..data.experiment import Experiment
from .canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Central probability that the plot shows; the tails are cut off.
SHOWN = 0.98
#: Edges of the bars.
BINS = 31


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Replicated experiments from the prior, and the observed one.

    Parameters
    ----------
    cluster_mean : ndarray, shape (S, J)
        Cluster means of the outcome (lognormal: of its logarithm) in S replicated experiments.
    observed : ndarray, shape (J,)
        Cluster means in the data.
    treated : ndarray, shape (J,)
        Whether each cluster is treated (in a partial rollout: partly treated).
    """

    cluster_mean: Floats
    observed: Floats
    treated: Booleans

    @classmethod
    def of(cls, exp: Experiment, seed: int = 0) -> PriorPredictive:
        """Draw from the prior, without compilation or MCMC."""
        rng, moments = np.random.default_rng(seed), exp.moments()
        labels = {
            "cluster": labels_of(moments.clusters),
            "stratum": labels_of(moments.stratum_levels),
        }
        draws = ParameterDraws.of(draw_prior(exp, labels, rng), exp)
        means = likelihood_of(exp).draw_cluster_means(rng, draws)
        return cls(
            cluster_mean=means.reshape(-1, moments.n_clusters),
            observed=moments.means[:, -1],
            treated=exp.treated,
        )

    def arms(self, means: Floats) -> tuple[Floats, Floats]:
        """Return the mean of treated and of control clusters, each of shape (...)."""
        return means[..., self.treated].mean(axis=-1), means[..., ~self.treated].mean(axis=-1)

    @property
    def arm_difference(self) -> Floats:
        """Mean of treated minus mean of control clusters, in each replicate; shape (S,)."""
        treated, control = self.arms(self.cluster_mean)
        return treated - control

    @property
    def observed_difference(self) -> float:
        """Mean of treated minus mean of control clusters, in the data."""
        treated, control = self.arms(self.observed)
        return float(treated - control)


def plot_prior_predictive(
    exp: Experiment, *, seed: int = 0, figure: Figure | None = None
) -> Figure:
    """Draw the prior predictive distributions of cluster means and of the arms' difference.

    Bars are replicated experiments, orange is observed. Counts have logarithmic axes, and their
    arms are compared by ratio.

    Parameters
    ----------
    exp : Experiment
        Data and specification; the plot marks the observed values.
    seed : int
        Seed of the draws.
    figure : Figure, optional
        Figure to draw into.

    Returns
    -------
    Figure
        The figure drawn into.
    """
    if figure is None:
        figure = new_figure(7.2, 2.3)
    predicted = PriorPredictive.of(exp, seed)
    left, right = figure.subplots(1, 2)
    counts = exp.spec.family.is_count
    _density(left, predicted.cluster_mean.ravel(), predicted.observed, logarithmic=counts)
    left.set_title("mean of a cluster", loc="left", fontsize=10)
    if counts:
        (treated, control), observed = (
            predicted.arms(predicted.cluster_mean),
            predicted.arms(predicted.observed),
        )
        ratio = treated[control > 0] / control[control > 0]
        _density(right, ratio, np.array([observed[0] / observed[1]]), logarithmic=True)
        right.set_title("mean of treated / mean of control clusters", loc="left", fontsize=10)
    else:
        _density(right, predicted.arm_difference, np.array([predicted.observed_difference]))
        right.set_title("treated minus control clusters", loc="left", fontsize=10)
    name = exp.spec.outcome.label or exp.spec.outcome.column
    figure.supxlabel(name.replace("$", r"\$"), fontsize=9)
    return figure


def _density(ax: Axes, drawn: Floats, observed: Floats, *, logarithmic: bool = False) -> None:
    if logarithmic:
        drawn = drawn[drawn > 0]
        observed = observed[observed > 0]
    low, high = np.quantile(drawn, [(1 - SHOWN) / 2, (1 + SHOWN) / 2])
    low, high = min(low, observed.min()), max(high, observed.max())
    edges = np.geomspace(low, high, BINS) if logarithmic else np.linspace(low, high, BINS)
    weights = np.full(len(drawn), 1 / len(drawn))
    ax.hist(drawn, edges.tolist(), weights=weights, color="#9ecae1", lw=0)
    if logarithmic:
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        ax.set_xscale("log")
        wide = high / low > 1_000
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    if len(observed) == 1:
        ax.axvline(observed[0], color="#D55E00", lw=1.6)
    else:
        ax.plot(observed, np.zeros(len(observed)), "|", color="#D55E00", ms=14, alpha=0.7)
    ax.set_yticks([])
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right", "left"]].set_visible(False)
