"""Rows given as arrays: checked, and their cluster labels turned into positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .._support.arrays import Floats
from ..errors import DataError, MissingValueError


def checked_rows(
    y: ArrayLike, X: ArrayLike, cluster: ArrayLike, names: Sequence[str], outcome: str
) -> tuple[Floats, NDArray[Any]]:
    """Return regressors with the outcome last (N, k), and labels (N,); raise if unusable."""
    try:
        outcome_values, regressors = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"y and X must be numbers in arrays of equal rows: {error}") from None
    labels = np.asarray(cluster)
    outcome_values = np.atleast_1d(outcome_values)
    if "intercept" in names:
        raise DataError("'intercept' is added automatically; leave it out of X and the names")
    if regressors.ndim == 1:
        regressors = regressors[:, None]
    if len({*names, outcome}) != len(names) + 1:
        raise DataError(f"names repeat: {[*names, outcome]}")
    shapes = (outcome_values.shape, regressors.shape, labels.shape)
    rows = len(outcome_values)
    if shapes != ((rows,), (rows, len(names)), (rows,)):
        raise DataError(
            f"shapes disagree: y {shapes[0]}, X {shapes[1]}, cluster {shapes[2]}, "
            f"{len(names)} names; expected (N,), (N, {len(names)}), (N,)"
        )
    if not rows:
        raise DataError("the data have no rows")
    if null := int(pd.isna(labels).sum()):
        raise MissingValueError(f"the cluster label is null in {null:,} of {rows:,} rows")
    values = np.column_stack([regressors, outcome_values])
    for name, bad in zip([*names, outcome], (~np.isfinite(values)).sum(axis=0), strict=True):
        if bad:
            raise MissingValueError(f"{name!r} is NaN or infinite in {bad:,} of {rows:,} rows")
    return values, labels


def checked_weights(weights: ArrayLike | None, rows: int) -> Floats:
    """Return the weight of each row; ones without weights."""
    if weights is None:
        return np.ones(rows)
    values = np.asarray(weights, dtype=float)
    if values.shape != (rows,):
        raise DataError(f"weights have shape {values.shape}; expected ({rows:,},)")
    if bad := int((~(np.isfinite(values) & (values > 0))).sum()):
        raise DataError(f"weights are not positive and finite in {bad:,} of {rows:,} rows")
    return values


def factorized(labels: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return each row's position among the sorted clusters, and the clusters' labels."""
    code, clusters = pd.factorize(labels)
    types = sorted({type(label).__name__ for label in clusters.tolist()})
    if len(types) > 1:
        raise DataError(f"cluster labels mix the types {', '.join(types)}; cast them to one")
    order = np.argsort(clusters, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[code], clusters[order]


def label_per_cluster(
    strata: ArrayLike, code: NDArray[np.intp], clusters: NDArray[Any]
) -> NDArray[Any]:
    """Return the stratum of each cluster from that of each row."""
    labels = np.asarray(strata)
    if labels.shape != code.shape:
        raise DataError(f"strata have shape {labels.shape}; expected ({len(code):,},)")
    pairs = pd.DataFrame({"code": code, "stratum": labels}).drop_duplicates()
    if pairs["stratum"].isna().any():
        raise DataError("the stratum is null in some rows")
    if repeated := pairs["code"].duplicated().sum():
        first = clusters[pairs.loc[pairs["code"].duplicated(), "code"].iloc[0]]
        raise DataError(f"{repeated:,} clusters lie in more than one stratum, such as {first!r}")
    return pairs.sort_values("code")["stratum"].to_numpy()


def sorted_union(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of both, sorted, each once; raise if their types cannot be matched."""
    kinds = {left.dtype.kind, right.dtype.kind}
    if kinds == {"i", "u"}:  # NumPy would convert them to float64 and merge large labels
        union = sorted({*left.tolist(), *right.tolist()})
        return np.array(union, dtype=np.int64 if union[-1] <= np.iinfo(np.int64).max else object)
    if len(kinds) > 1 or (kinds == {"O"} and type(left[0]) is not type(right[0])):
        raise DataError(
            f"cluster labels of type {left.dtype} cannot be matched with labels of type "
            f"{right.dtype}; cast one of them"
        )
    return np.union1d(left, right)
