"""The appendix of the report: data, priors, specification, and code that reproduces the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..bayes.fit import versions
from ..bayes.model_inputs import resolved_priors
from ..exposure.expose import exposure_of
from .document_parts import Code, Grid, Part, Section, Words

if TYPE_CHECKING:
    from ..analysis.analysis import Analysis


def appendix_section(analysis: Analysis) -> Section:
    """Return the section on data, specification and code that reproduces the page."""
    exp, spec = analysis.experiment, analysis.spec
    dropped = (
        f"{exp.n_dropped:,} rows with missing values were dropped, as specified, including "
        f"{exp.n_clusters_dropped:,} whole clusters."
        if spec.outcome.missing == "drop"
        else "No row was dropped: the specification refuses missing values."
    )
    priors = pd.DataFrame(
        [(name, str(prior)) for name, prior in resolved_priors(exp).items()],
        columns=["parameter", "prior"],
    )
    provenance = ", ".join(f"{name} {version}" for name, version in versions().items())
    parts: list[Part] = [
        Words(
            (
                f"{exp.n_units:,} units in {len(exp.treated):,} clusters, data fingerprint "
                f"{exp.fingerprint}. {dropped}",
            )
        ),
        Grid("declared", priors, {"parameter": "parameter", "prior": "prior"}, "Priors"),
    ]
    if exp.exposure is not None and (graph := exposure_of(exp).graph) is not None:
        counts = graph.to_dataframe()
        columns = {"what": "edges", "count": "count"}
        parts.append(Grid("edges", counts, columns, "What became of the edges"))
    parts += [
        Code("Specification, as TOML", spec.to_toml(), f"SHA-256 {spec.hash}"),
        Code("Code that reproduces this page", reproduce(analysis)),
        Words((f"Seed {analysis.posterior.attrs['seed']}. Made with {provenance}.",), soft=True),
    ]
    return Section("appendix", "Appendix: data and specification", tuple(parts))


def reproduce(analysis: Analysis) -> str:
    """Return code that makes the same report from the same data."""
    exp, attrs = analysis.experiment, analysis.posterior.attrs
    sizes = analysis.posterior["posterior"].sizes
    bootstraps = len(analysis.comparison.bootstrap.draws)
    if exp.has_units:
        made, data = "Experiment(data, spec", '"users.parquet"'
    else:
        made, data = "Experiment.from_moments(data, spec", "..."
    edges = "edges.parquet" if exp.exposure is not None else ""
    if "sampling" in attrs:  # drawn by integration
        graph = f'data = bc.expose("{edges}", data, spec)\n' if edges else ""
        steps = f"""{graph}exp = bc.{made})
posterior = bc.fit_exact(exp, draws={sizes["draw"] * sizes["chain"]}, seed={attrs["seed"]})
comparison = bc.compare(
    exp, posterior, bootstrap_draws={bootstraps}, seed={attrs["seed"]}
)
analysis = bc.Analysis(exp, comparison, bc.diagnose(comparison))"""
    else:
        graph = f'\n    edges="{edges}",' if edges else ""
        steps = f"""analysis = bc.analyze(
    data,
    spec,{graph}
    bootstrap_draws={bootstraps},
    draws={sizes["draw"]},
    tune={attrs.get("tune", 1_000)},
    chains={sizes["chain"]},
    seed={attrs["seed"]},
)"""
    return f'''import bayescluster as bc

spec = bc.load_spec("spec.toml")  # the specification above
assert spec.hash == "{analysis.spec.hash}"
data = {data}  # the {"data" if exp.has_units else "moments"} with fingerprint {exp.fingerprint}
{steps}
assert analysis.experiment.fingerprint == "{exp.fingerprint}"
analysis.report("report.html")
'''
