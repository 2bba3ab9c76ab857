"""Plots of the posterior: compared with the bootstrap, and sampler diagnostics (by ArviZ)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..answers.estimands import effect_named, estimand_draws
from ..answers.method_comparison import Comparison
from .canvas import COLOURS, clean, close_in_notebook, new_figure, plain, scalar_names

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def densities(comparison: Comparison, figure: Figure | None = None) -> Figure:
    """Draw the posterior and bootstrap distributions of each effect in one panel."""
    effects = comparison.effects
    figure = figure or new_figure(7.2, 2.1 * len(effects) + 0.5)
    axes = figure.subplots(len(effects), 1, squeeze=False)[:, 0]
    for effect, ax in zip(effects, axes, strict=True):
        pairs = {
            "posterior": _posterior(comparison, effect),
            "bootstrap": _bootstrap(comparison, effect),
        }
        low = min(np.quantile(values, 0.001) for values in pairs.values())
        high = max(np.quantile(values, 0.999) for values in pairs.values())
        edges = np.linspace(low, high, 60) if high > low else np.linspace(low - 1, low + 1, 60)
        rows = comparison.estimates[comparison.estimates["term"] == effect].set_index("method")
        named = {"posterior": "posterior", "bootstrap": "cluster bootstrap, two-exposure OLS"}
        for y, (name, values) in enumerate(pairs.items()):
            ax.hist(values, bins=edges, density=True, color=COLOURS[name], alpha=0.4, label=name)
            ax.hist(values, bins=edges, density=True, color=COLOURS[name], histtype="step", lw=1.2)
            row = rows.loc[[m for m in rows.index if m == named[name]]].iloc[:1]
            for one in row.itertuples():
                height = -0.04 - 0.05 * y
                ax.plot(
                    [one.ci_lower, one.ci_upper],
                    [height, height],
                    color=COLOURS[name],
                    lw=4,
                    transform=ax.get_xaxis_transform(),
                    clip_on=False,
                )
        ax.set_title(
            f"{effect.replace('_', ' ')} effect", loc="left", fontsize=10, fontweight="bold"
        )
        ax.set_yticks([])
        ax.tick_params(axis="x", pad=12)
        clean(ax)
    axes[0].legend(frameon=False)
    return figure


def quantiles(comparison: Comparison, figure: Figure | None = None) -> Figure:
    """Draw posterior quantiles against bootstrap quantiles, for each effect."""
    effects = comparison.effects
    figure = figure or new_figure(min(3.3 * len(effects) + 0.4, 7.2), 3.2)
    axes = figure.subplots(1, len(effects), squeeze=False)[0]
    at = np.linspace(0.005, 0.995, 199)
    for effect, ax in zip(effects, axes, strict=True):
        x = np.quantile(_bootstrap(comparison, effect), at)
        y = np.quantile(_posterior(comparison, effect), at)
        ends = [min(x[0], y[0]), max(x[-1], y[-1])]
        ax.plot(ends, ends, color="#333333", ls="--", lw=1)
        ax.plot(x, y, ".", color=COLOURS["posterior"], ms=4)
        ax.set(xlabel="bootstrap quantile", ylabel="posterior quantile")
        ax.set_title(f"{effect.replace('_', ' ')} effect", loc="left", fontsize=10)
        ax.locator_params(nbins=5)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _posterior(comparison: Comparison, effect: str) -> np.ndarray[Any, Any]:
    draws = estimand_draws(comparison.experiment, comparison.posterior)
    return np.asarray(draws[effect_named(effect)])


def _bootstrap(comparison: Comparison, effect: str) -> np.ndarray[Any, Any]:
    values = comparison.bootstrap.column(effect)
    return np.asarray(values[np.isfinite(values)])


def evolution(posterior: xr.DataTree) -> Figure:
    """Draw ArviZ's plot of the effective sample size against the number of draws."""
    import arviz as az

    return _by_arviz(az.plot_ess_evolution, posterior)


def energy(posterior: xr.DataTree) -> Figure:
    """Draw ArviZ's plot of marginal energy and energy transitions."""
    import arviz as az

    collection = az.plot_energy(
        posterior,
        backend="matplotlib",
        figure_kwargs={"figsize": (7.2, 2.8), "figsize_units": "inches"},
    )
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")
    return close_in_notebook(figure)


def ranks(posterior: xr.DataTree) -> Figure:
    """Draw ArviZ's rank plot (fractional ranks by chain, with their simultaneous envelope)."""
    import arviz as az

    return _by_arviz(az.plot_rank, posterior)


def _by_arviz(plot: Any, posterior: xr.DataTree) -> Figure:
    from arviz_base.labels import MapLabeller

    draws = posterior["posterior"].to_dataset()
    names = scalar_names(posterior)
    panels = sum(int(np.prod(draws[name].shape[2:])) for name in names)
    columns = min(panels, 3)
    size = (7.2, 2.2 * -(-panels // columns) + 0.4)
    collection = plot(
        posterior,
        var_names=names,
        backend="matplotlib",
        col_wrap=columns,
        labeller=MapLabeller(var_name_map={name: plain(name) for name in names}),
        figure_kwargs={"figsize": size, "figsize_units": "inches"},
    )
    figure = collection.viz["figure"].item()
    figure.set_layout_engine("constrained")
    return close_in_notebook(figure)
