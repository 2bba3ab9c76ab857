"""Leave-one-cluster-out: how well models predict a cluster that they have not seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.calls_to_figures_and_report import draw
from .._support.tidy import Tidy
from ..bayes.exact.exact_posterior import is_integrable
from ..bayes.exact.fit_exact import fit_exact
from ..bayes.fit import fit
from ..data.experiment import Experiment
from ..errors import DataError, SpecError
from ..spec.families import FAMILIES
from ..spec.model_spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Fitter = Callable[[Experiment], Any]

#: Smaller differences in elpd are not meaningful (Sivula, Magnusson, Matamoros & Vehtari 2025,
#: Bayesian Analysis; arXiv:2008.10296).
SMALL_DIFFERENCE = 4.0
#: Number of standard errors from which a difference is clear.
CLEAR_ERRORS = 2.0


@dataclass(frozen=True, eq=False)
class LeaveOneOut(Tidy):
    """How well a model predicts each cluster from all others.

    Parameters
    ----------
    elpd, se : float
        Expected log predictive density, summed over clusters, and its standard error.
    p : float
        Effective number of parameters.
    table : DataFrame
        Columns cluster, n_units, elpd, pareto_k, verdict; the largest Pareto k first.
    good_k : float
        Pareto k above which the importance sampling of a cluster is not reliable.
    verdict, advice : str
        Whether `elpd` is reliable, and what to do if it is not.
    data : arviz.ELPDData
        ArviZ's result.
    """

    elpd: float
    se: float
    p: float
    table: pd.DataFrame
    good_k: float
    verdict: str
    advice: str
    data: Any

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw the Pareto k of every cluster."""
        return draw("model_checks.pareto_k", self, figure)


def loo(tree: xr.DataTree) -> LeaveOneOut:
    """Estimate how well the model predicts each cluster from all others.

    A cluster's users are left out together, with its intercept integrated out. The prediction is
    therefore for a new cluster, as in the design.

    Parameters
    ----------
    tree : DataTree
        The result of :func:`fit` or :func:`fit_exact`.

    Returns
    -------
    LeaveOneOut
        elpd with its standard error, and the Pareto k of each cluster.

    Notes
    -----
    ``arviz.loo``: Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017, Statistics and
    Computing 27: 1413-1432; Vehtari, Simpson, Gelman, Yao & Gabry 2024, Journal of Machine Learning
    Research 25(72)). The lognormal family's density is that of the logarithms.
    """
    data = _elpd(tree)
    k, elpd = data.pareto_k.to_numpy().ravel(), data.elpd_i.to_numpy().ravel()
    good_k = float(data.good_k)
    label = tree["log_likelihood"]["cluster"].to_numpy()
    table = pd.DataFrame(
        {
            "cluster": label,
            "n_units": tree["constant_data"]["n_units"].to_numpy().astype(np.int64),
            "elpd": elpd,
            "pareto_k": k,
            "verdict": np.select([k <= good_k, k <= 1], ["ok", "caution"], "problem"),
        }
    )
    bad = int((k > good_k).sum())
    table = table.sort_values("pareto_k", ascending=False, ignore_index=True)
    named = ", ".join(str(name) for name in table["cluster"][: min(bad, 3)])
    verdict = "ok" if not bad else "problem" if (k > 1).any() else "caution"
    advice = (
        f"Pareto k exceeds {good_k:.2f} for {bad:,} of {len(k):,} clusters ({named}"
        + ", ..." * (bad > 3)
        + "): each of them moves the posterior so far that its prediction from the others cannot "
        "be estimated from these draws. Refit without it to check, and compare models only by "
        "differences much larger than such a cluster's elpd; a family with heavier tails or a "
        "wider prior of between_sd is less sensitive"
    )
    return LeaveOneOut(
        elpd=float(data.elpd),
        se=float(data.se),
        p=float(data.p),
        table=table,
        good_k=good_k,
        verdict=verdict,
        advice="" if verdict == "ok" else advice,
        data=data,
    )


def _elpd(tree: xr.DataTree) -> Any:
    """Return ArviZ's result, without its warnings, which the result contains."""
    import arviz as az

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter", category=UserWarning)
        return az.loo(tree, var_name="outcome", pointwise=True)


@dataclass(frozen=True, eq=False)
class ModelComparison(Tidy):
    """Models of the same data, compared by how well they predict unseen clusters.

    Parameters
    ----------
    table : DataFrame
        One row per model, the best first: model, family, elpd, se, elpd_diff and dse (difference
        from the best, and its standard error), p (effective number of parameters), parameters
        (number of parameters, without those of single clusters), weight (stacking), bad_k (clusters
        whose Pareto k is too large), verdict (ok, caution, problem) and conclusion.
    preferred : str
        The model with the fewest parameters among those that predict about as well as the best.
    fits : dict of tuple
        Experiment and posterior of each model.
    data : DataFrame
        The table of ``arviz.compare``.
    """

    table: pd.DataFrame
    preferred: str
    fits: Mapping[str, tuple[Experiment, xr.DataTree]]
    data: pd.DataFrame

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    @property
    def conclusions(self) -> list[str]:
        """The conclusions in words, one sentence per model."""
        rows = self.table.itertuples()
        return [f"{row.model}: {row.conclusion}" for row in rows]

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw each model's difference in elpd from the best, with its standard error."""
        return draw("model_checks.elpd_differences", self, figure)


def compare_models(
    data: Any, specs: Mapping[str, ModelSpec], *, fitter: Fitter | None = None
) -> ModelComparison:
    """Fit several specifications to the same data, and compare how well they predict.

    Parameters
    ----------
    data : DataFrame, Table, path or ibis.Table
        See :class:`Experiment`.
    specs : mapping of str to ModelSpec
        The specifications, by model name.
    fitter : callable, optional
        Function from an experiment to its posterior; by default :func:`fit_exact` if the posterior
        is an integral, otherwise :func:`fit`.

    Returns
    -------
    ModelComparison
        See :func:`compare_fits`.

    Raises
    ------
    SpecError
        If the models have different outcomes, or incomparable families.
    DataError
        If the data cannot be analysed, or the models have different users.
    """
    _check_specs(specs)
    return compare_fits({name: Experiment(data, spec) for name, spec in specs.items()}, fitter)


def compare_fits(
    fits: Mapping[str, Experiment | tuple[Experiment, xr.DataTree]], fitter: Fitter | None = None
) -> ModelComparison:
    """Compare how well models of the same data predict an unseen cluster.

    Parameters
    ----------
    fits : mapping of str to Experiment or (Experiment, DataTree)
        Experiments, with their posteriors if they have been fitted.
    fitter : callable, optional
        See :func:`compare_models`.

    Returns
    -------
    ModelComparison
        Table, preferred model and conclusions.

    Raises
    ------
    SpecError
        If the models have different outcomes, or incomparable families.
    DataError
        If the models have different clusters or users.

    Notes
    -----
    Differences in elpd below 4 are not meaningful, and larger ones hardly if they are within two
    standard errors (Sivula et al. 2025, arXiv:2008.10296); the simpler model is then preferred. The
    lognormal family has a density of log y; subtracting the sum of log y over a cluster's users
    makes it a density of y, like the gaussian's. Probabilities of counts and densities are not
    comparable. The comparison does not answer whether an effect exists: a spillover effect that is
    certain a posteriori may improve predictions of whole clusters only a little.
    """
    import arviz as az

    experiments = {k: v if isinstance(v, Experiment) else v[0] for k, v in fits.items()}
    _check_specs({name: exp.spec for name, exp in experiments.items()})
    _check_same_data(experiments)
    run = fitter or fit_of
    trees = {k: run(v) if isinstance(v, Experiment) else v[1] for k, v in fits.items()}
    elpds = {name: _elpd(_on_the_outcome(exp, trees[name])) for name, exp in experiments.items()}
    with warnings.catch_warnings():  # the conclusions state what it warns about
        warnings.simplefilter("ignore", UserWarning)
        compared = az.compare(elpds, round_to="none")
    rows = []
    best, errors = str(compared.index[0]), elpds[str(compared.index[0])].elpd_i.to_numpy()
    for name, row in compared.iterrows():
        gap = elpds[name].elpd_i.to_numpy() - errors
        rows.append(
            {
                "model": name,
                "family": experiments[name].spec.outcome.family,
                "elpd": float(row["elpd"]),
                "se": float(row["se"]),
                "elpd_diff": float(gap.sum()),
                "dse": float(np.sqrt(gap.size * gap.var())),
                "p": float(row["p"]),
                "parameters": _parameters(trees[name]),
                "weight": float(row["weight"]),
                "bad_k": int((elpds[name].pareto_k > elpds[name].good_k).sum()),
            }
        )
    table = pd.DataFrame(rows)
    close = table[[_is_close(row) for row in rows]]
    preferred = str(close.sort_values("parameters", kind="stable")["model"].iloc[0])
    judged = [_conclusion(row, best, preferred) for row in rows]
    table["verdict"], table["conclusion"] = zip(*judged, strict=True)
    return ModelComparison(
        table, preferred, {n: (experiments[n], trees[n]) for n in experiments}, compared
    )


def fit_of(exp: Experiment) -> xr.DataTree:
    """Integrate the posterior if possible, otherwise sample it."""
    return fit_exact(exp) if is_integrable(exp.spec) else fit(exp, progressbar=False)


def _check_specs(specs: Mapping[str, ModelSpec]) -> None:
    if len(specs) < 2:
        raise SpecError(f"a comparison needs at least two models; given {len(specs)}")
    columns = {name: spec.outcome.column for name, spec in specs.items()}
    if len(set(columns.values())) > 1:
        raise SpecError(f"the models have different outcomes: {columns}")
    kinds = {name: spec.family.is_discrete for name, spec in specs.items()}
    if len(set(kinds.values())) > 1:
        families = {name: spec.outcome.family for name, spec in specs.items()}
        discrete = [name for name, family in FAMILIES.items() if family.is_discrete]
        raise SpecError(
            f"families {families} are not comparable: {', '.join(discrete)} give outcomes "
            "probabilities, the others densities per unit of the outcome; choose by the type of "
            "outcome, and with posterior_predictive_check"
        )


def _check_same_data(experiments: Mapping[str, Experiment]) -> None:
    first_name, first = next(iter(experiments.items()))
    m = first.moments()
    for name, exp in experiments.items():
        other = exp.moments()
        if not np.array_equal(m.clusters, other.clusters):
            raise DataError(
                f"models {first_name!r} and {name!r} have different clusters "
                f"({m.n_clusters:,} and {other.n_clusters:,})"
            )
        if not np.array_equal(m.n, other.n):
            raise DataError(
                f"models {first_name!r} and {name!r} have different users "
                f"({m.n_units:,} and {other.n_units:,}): first drop the rows that lack a "
                "covariate of either model"
            )
        if exp.spec.family.log_outcome != first.spec.family.log_outcome:
            continue
        ours, theirs = (x.means[:, -1] for x in (m, other))
        if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-9 * float(m.sd[-1])):
            raise DataError(f"models {first_name!r} and {name!r} have different outcomes")


def _on_the_outcome(exp: Experiment, tree: xr.DataTree) -> xr.DataTree:
    """Return the groups that LOO needs, with the log-likelihood as a density of the outcome."""
    import xarray as xr

    values = tree["log_likelihood"].to_dataset()
    if exp.spec.family.log_outcome:
        m = exp.moments()
        logs = m.n * (m.means[:, -1])
        values = values.assign(outcome=values["outcome"] - xr.DataArray(logs, dims="cluster"))
    posterior = tree["posterior"].to_dataset()
    return xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": values})


def _parameters(tree: xr.DataTree) -> int:
    """Count the parameters, without those of single clusters; S strata count as S - 1."""
    count = 0
    for name, values in tree["posterior"].to_dataset().items():
        if "cluster" not in values.dims:
            count += int(np.prod(values.shape[2:])) - (name == "stratum_effect")
    return count


def _is_close(row: Mapping[str, Any]) -> bool:
    return bool(abs(row["elpd_diff"]) < max(SMALL_DIFFERENCE, CLEAR_ERRORS * row["dse"]))


def _conclusion(row: Mapping[str, Any], best: str, preferred: str) -> tuple[str, str]:
    """Judge a model against the best one."""
    gap, dse = abs(row["elpd_diff"]), row["dse"]
    verdict = "ok"
    if row["model"] == best:
        text = "predicts best"
    elif gap < SMALL_DIFFERENCE:
        text = f"predicts as well as {best}: the difference in elpd, {gap:.1f}, is below 4"
    elif gap < CLEAR_ERRORS * dse:
        text = (
            f"not clearly different from {best}: the difference in elpd, {gap:.1f}, is within two "
            f"standard errors ({dse:.1f})"
        )
    else:
        verdict = "problem"
        text = (
            f"predicts clearly worse than {best}: the difference in elpd, {gap:.1f}, is "
            f"{gap / dse:.1f} of its standard errors"
            if dse
            else f"predicts clearly worse than {best}: the difference in elpd is {gap:.1f}"
        )
    if row["model"] == preferred:
        text += "; preferred" + ", because it is simpler" * (preferred != best)
    if row["bad_k"]:
        verdict = "caution" if verdict == "ok" else verdict
        text += f"; its elpd is unreliable for {row['bad_k']:,} clusters (Pareto k)"
    return verdict, text
