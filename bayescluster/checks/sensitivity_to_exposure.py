"""Sensitivity of the effects to the exposure mapping and to missing ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._support.arrays import Floats
from .._support.calls_to_figures_and_report import draw
from .._support.check_record import Verdict, worst
from .._support.display import number, percent
from .._support.tidy import Tidy
from ..assignment.mechanisms import Mechanism
from ..exposure.collaborators import Collaborators
from ..exposure.expose import Exposure, expose
from ..exposure.mappings import AtLeast, ExposureMapping, ShareAbove, TreatedShare
from ..spec.model_spec import ModelSpec
from .exposure_reanalysis import VALUES, Reanalysed, Reanalysis, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Shift, in standard errors of the declared estimate, that calls for caution ...
MAX_SHIFT = 1.0
#: ... and above which the choice decides the result.
DECISIVE_SHIFT = 2.0
#: Ratio to the declared standard error above which an estimate is too imprecise to show a shift.
IMPRECISE = 2.0
#: Thresholds of the share mappings tried by default.
THRESHOLDS = (0.25, 0.5)


@dataclass(frozen=True, eq=False)
class ExposureSensitivity(Tidy):
    """Effects under other exposure mappings than the declared one, and with fewer ties.

    Parameters
    ----------
    table : DataFrame
        One row per assumption, effect and estimator, the declared mapping first: assumption, kind
        (declared, hops, mapping, lost ties), effect, estimator, estimate, lower, upper (interval at
        the specification's level), lowest, highest (range of estimates over repeats),
        users_exposed (untreated, used by the estimator), mean_dose (of exposed users; 1 unless
        exposure is a share), shift, verdict (ok, caution, problem), advice. For lost ties,
        estimate, lower, upper, users_exposed and mean_dose are means over repeats. `shift` is the
        difference between the effects at their mean doses, in declared standard errors. If an
        assumption identifies no effect, its values are NaN and its advice gives the reason.
    ci_prob : float
        Probability of the intervals.
    repeats : int
        Graphs drawn for each share of ties.
    """

    table: pd.DataFrame
    ci_prob: float
    repeats: int

    @property
    def verdict(self) -> Verdict:
        """The worst verdict in the table."""
        return worst(self.table["verdict"])

    def to_dataframe(self) -> pd.DataFrame:
        """Return `table`."""
        return self.table

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw each effect's estimates and intervals under every assumption."""
        return draw("exposure.sensitivity", self, figure)


def exposure_sensitivity(
    edges: Any,
    users: Any,
    spec: ModelSpec,
    *,
    mapping: ExposureMapping | None = None,
    mechanism: Mechanism | None = None,
    mappings: Mapping[str, ExposureMapping] | Sequence[ExposureMapping] | None = None,
    hops: Sequence[int] = (1, 2),
    keep: Sequence[float] = (0.9, 0.8, 0.6),
    repeats: int = 20,
    draws: int = 10_000,
    seed: int = 0,
) -> ExposureSensitivity:
    """Estimate the effects under other mappings, and on graphs that have lost ties.

    Estimators are the recentred regression with CR2 and, for gaussian and lognormal outcomes, the
    integrated posterior with the expected exposure as a covariate.

    Parameters
    ----------
    edges, users, spec, mapping, mechanism
        The declared analysis; see :func:`expose`. Edges and users are read once.
    mappings : mapping of str to ExposureMapping, or sequence of ExposureMapping, optional
        Other mappings, by name; by default at least 1, 2 and 3 collaborators, the weighted share (a
        dose), and a share above 0.25 and above 0.5 (none if the declared mapping is within
        clusters).
    hops : sequence of {1, 2}
        Numbers of hops at which to try the declared mapping.
    keep : sequence of float
        Shares of ties to keep, in (0, 1]; the others are dropped at random.
    repeats : int
        Graphs drawn for each share.
    draws : int
        Assignments drawn for the probabilities of mappings without a closed form.
    seed : int
        Seed of the draws and of the ties that are dropped.

    Returns
    -------
    ExposureSensitivity
        Rows with verdict and advice.

    Raises
    ------
    DataError
        If the declared analysis itself is impossible; see :func:`expose` and
        :func:`recentred_ols`.

    Notes
    -----
    A graph is never complete: some exposed untreated users count as unexposed. The change of an
    estimate when further ties are dropped shows the direction, and roughly the size, of the bias
    from ties that are already missing. Each user's side of a tie is thinned separately, binomially
    by unit of assignment with weights in proportion, so a tie may survive at one end only. Over
    two hops, collaborators within reach are dropped, not the ties between. The probabilities of
    exposure are those of the thinned graph.

    Examples
    --------
    >>> from bayescluster.simulate import GraphScenario
    >>> scenario = GraphScenario(n_clusters=20, cluster_size=20)
    >>> edges, users = scenario.simulate(seed=1)
    >>> found = exposure_sensitivity(edges, users, scenario.spec, keep=[0.8], repeats=2)
    >>> found.table["kind"].unique().tolist()
    ['declared', 'hops', 'mapping', 'lost ties']
    """
    _check(keep, repeats, hops)
    declared = expose(
        edges, users, spec, mapping=mapping, mechanism=mechanism, draws=draws, seed=seed
    )
    analysis = Reanalysis.of(declared, draws, seed)
    base = analysis.of_exposure(declared)
    others = _mappings(declared.mapping, mappings)
    tables = [_rows("as declared", "declared", [base], base)]
    for name, kind, collaborators, other in _assumptions(declared, others, hops):
        tables.append(_rows(name, kind, [analysis.under(collaborators, other)], base))
    for share in keep:
        found = [
            analysis.under(thinned(declared.collaborators, share, rng), declared.mapping)
            for rng in _generators(seed, share, repeats)
        ]
        tables.append(_rows(f"{percent(share)} of the ties kept", "lost ties", found, base))
    table = pd.DataFrame([row for rows in tables for row in rows])
    return ExposureSensitivity(table, spec.report.ci_prob, repeats)


def _check(keep: Sequence[float], repeats: int, hops: Sequence[int]) -> None:
    if wrong := [share for share in keep if not 0 < share <= 1]:
        raise ValueError(f"keep must lie in (0, 1]; given {', '.join(map(str, wrong))}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1; given {repeats}")
    if wrong_hops := [reach for reach in hops if reach not in (1, 2)]:
        raise ValueError(f"hops must be 1 or 2; given {', '.join(map(str, wrong_hops))}")


def _generators(seed: int, keep: float, repeats: int) -> Iterator[np.random.Generator]:
    """Yield one generator per repeat, independent of the other shares."""
    for repeat in range(repeats):
        yield np.random.default_rng([seed, round(keep * 1e9), repeat])


def _mappings(
    declared: ExposureMapping,
    given: Mapping[str, ExposureMapping] | Sequence[ExposureMapping] | None,
) -> dict[str, ExposureMapping]:
    if isinstance(given, Mapping):
        return dict(given)
    if given is not None:
        return {str(mapping): mapping for mapping in given}
    if isinstance(declared, TreatedShare) and declared.within:
        return {}
    tried: dict[str, ExposureMapping] = {f"at least {k}": AtLeast(k) for k in (1, 2, 3)}
    tried["share (a dose)"] = TreatedShare()
    tried |= {f"share above {share:g}": ShareAbove(share) for share in THRESHOLDS}
    return {name: mapping for name, mapping in tried.items() if mapping != declared}


def _assumptions(
    declared: Exposure, others: Mapping[str, ExposureMapping], hops: Sequence[int]
) -> Iterator[tuple[str, str, Collaborators, ExposureMapping]]:
    """Yield name, kind, graph and mapping of each assumption except lost ties."""
    graph = declared.graph
    assert graph is not None
    for reach in dict.fromkeys(hops):
        if reach != graph.options.hops:
            collaborators = graph.one_hop if reach == 1 else graph.two_hop
            yield f"{reach} hop{'s' * (reach > 1)}", "hops", collaborators, declared.mapping
    for name, mapping in others.items():
        yield name, "mapping", declared.collaborators, mapping


def _rows(
    name: str, kind: str, found: list[Reanalysed], base: Reanalysed
) -> Iterator[dict[str, Any]]:
    """Yield one row per effect and estimator for one assumption, averaged over repeats."""
    good = [one for one in found if one.effects]
    users = float(np.mean([one.users for one in good or found]))
    for (estimator, effect), declared in base.effects.items():
        values = np.array([one.effects[estimator, effect] for one in good]).reshape(-1, 4)
        doses = np.array([one.dose.get(effect, 1.0) for one in good])
        dose = base.dose.get(effect, 1.0)
        means = values.mean(axis=0) if len(good) else np.full(4, np.nan)
        shift = np.nan
        if len(good):
            moved = float((values[:, 0] * doses).mean()) - declared[0] * dose
            shift = moved / (declared[3] * dose)
        row = {
            "assumption": name,
            "kind": kind,
            "effect": effect,
            "estimator": estimator,
            **dict(zip(VALUES[:3], means.tolist(), strict=False)),
            "lowest": float(values[:, 0].min()) if len(good) else np.nan,
            "highest": float(values[:, 0].max()) if len(good) else np.nan,
            "users_exposed": users,
            "mean_dose": float(doses.mean()) if len(good) else np.nan,
            "shift": shift,
        }
        size = float(means[3] * np.mean(doses)) / float(declared[3] * dose) if good else np.nan
        yield row | _verdict(row, declared, found, size)


def _verdict(
    row: Mapping[str, Any], declared: Floats, found: list[Reanalysed], error_ratio: float
) -> dict[str, str]:
    """Judge one row; `error_ratio` is its standard error over the declared one."""
    notes = [one.note for one in found if one.note]
    failed = sum(not one.effects for one in found)
    if failed == len(found):
        return {"verdict": "caution", "advice": notes[0]}
    if row["kind"] == "declared":
        return {"verdict": "caution" if notes else "ok", "advice": "".join(notes[:1])}
    shift, was = row["shift"], _side(*declared[1:3])
    now = _side(row["lower"], row["upper"])
    said = (
        f"the {row['effect']} effect is {number(row['estimate'], declared[3])}, not the declared "
        f"{number(declared[0], declared[3])}, a shift of {shift:+.2f} declared standard errors"
    )
    lost = f"{failed} of {len(found)} repeats identify no effect; " * bool(failed)
    if error_ratio > IMPRECISE and abs(shift) <= 2 * error_ratio:
        said += f", too imprecise: its standard error is {error_ratio:.1f} times the declared one"
        return {"verdict": "caution", "advice": lost + said}
    verdict = _by_shift(shift, was, now)
    if verdict == "ok":
        advice = lost + "".join(notes[:1])
        return {"verdict": "caution" if advice else "ok", "advice": advice}
    if row["kind"] == "lost ties":
        said += ": ties that are already missing may have moved it the same way; complete the graph"
    else:
        said += ": the definition of exposure matters; justify the declared mapping"
    if was != now:
        said += "; one interval excludes zero, the other does not: report both"
    return {"verdict": verdict, "advice": lost + said}


def _by_shift(shift: float, was: int, now: int) -> str:
    if abs(shift) > DECISIVE_SHIFT or (was and was == -now):
        return "problem"
    return "caution" if abs(shift) > MAX_SHIFT or was != now else "ok"


def _side(lower: float, upper: float) -> int:
    """Return 1 for an interval above zero, -1 for one below, 0 if it contains zero."""
    return int(lower > 0) - int(upper < 0)
