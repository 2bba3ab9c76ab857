"""The model card of an experiment: question, equations, graph and priors as Markdown."""

from __future__ import annotations

from ...bayes.cells.cell_models import is_informative
from ...bayes.model_inputs import ModelKind, cell_likelihood, model_kind
from ...data.experiment import Experiment
from .model_equations import equations, symbols
from .model_graph import graph
from .priors_in_words import prior_rows, unit_of_parameters


def model_card(exp: Experiment) -> str:
    """Return a description of an experiment's model, as Markdown that GitHub renders.

    Parameters
    ----------
    exp : Experiment
        Data and specification. The data give the scale of priors in SDs of the outcome.

    Returns
    -------
    str
        The question, the decision rule, the equations (LaTeX), the method of fitting, the PyMC
        graph (Mermaid), and the priors in words with 95% ranges.
    """
    spec = exp.spec
    parts = [
        *([f"**{spec.question}**"] if spec.question else []),
        decision_rule(exp),
        f"```math\n{equations(exp)}\n```",
        f"Here {symbols(exp)}.",
        fitted_as(exp),
        f"```mermaid\n{graph(exp)}\n```",
        f"Priors, in {unit_of_parameters(exp)}:",
        table(prior_rows(exp)),
    ]
    return "\n\n".join(parts)


def decision_rule(exp: Experiment) -> str:
    """Return the specification's decision rule as a sentence."""
    spec, report = exp.spec, exp.spec.report
    side = "above" if report.direction == "increase" else "below"
    contrast = spec.family.words.contrast
    said = (
        f"Outcome: {spec.outcome.label or spec.outcome.column} ({spec.outcome.family}). Act where "
        f"the direct effect is {side} {report.threshold:g} with probability "
        f"{report.decision_prob:g}" + f", {contrast}" * bool(contrast)
    )
    if report.rope is not None:
        low, high = report.rope
        said += f"; between {low:g} and {high:g} it is practically none"
    return said + "."


def fitted_as(exp: Experiment) -> str:
    """Describe how the posterior is computed: what is observed, integrated out and sampled."""
    clusters = f"{exp.moments().n_clusters:,} clusters"
    match kind := model_kind(exp):
        case ModelKind.GAUSSIAN:
            return (
                f"Fitted to the moments of {clusters} by three observed nodes; the cluster "
                "intercepts are integrated out exactly."
            )
        case ModelKind.GAUSSIAN_SLOPES:
            return (
                f"Fitted to the moments of {clusters}; the intercepts and the effects that vary "
                "are integrated out exactly, in the potential `units`."
            )
    data = cell_likelihood(exp)
    seen = f"{data.cells.n_cells:,} cells of {clusters}"
    if kind is ModelKind.CELLS_INTEGRATED:
        return (
            f"Fitted to {seen}; the cluster intercepts are integrated out by adaptive "
            f"quadrature with {data.nodes} nodes, in the potential `units`."
        )
    how = "centred on" if is_informative(data) else "scaled standard normals around"
    return (
        f"Fitted to {seen}; the cluster intercepts are sampled (`cluster_level`), {how} a mean "
        "that includes the regressors which are constant within clusters."
    )


def table(rows: list[dict[str, str]]) -> str:
    """Return rows as a Markdown table."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
