"""The graph of an experiment's PyMC model as Mermaid, which GitHub renders."""

from __future__ import annotations

import re

from ...bayes.pymc_model import build_model
from ...data.experiment import Experiment

#: Replacements of PyMC's fill colours, legible on light and dark pages: observed, potentials.
FILLS = {"#757575": "#9ecae1,color:#000", "#f0f0f0": "#fdd0a2,color:#000"}


def graph(exp: Experiment) -> str:
    """Return the model's graph as Mermaid text, which is the same in each run.

    PyMC writes the graph (:func:`pymc.model_to_mermaid`). Plates are sorted here, and names with
    brackets (categories) are quoted for Mermaid.
    """
    import pymc as pm

    model = build_model(exp)
    text = pm.model_to_mermaid(model)
    for name in sorted((variable.name for variable in model.basic_RVs), key=len, reverse=True):
        plain = re.sub(r"\W", "_", name)
        if plain != name:
            text = text.replace(name, plain)
            text = re.sub(rf"\[{plain} ~ (\w+)\]", rf'["{name} ~ \1"]', text)
    for given, ours in FILLS.items():
        text = text.replace(f"fill:{given}", f"fill:{ours}")
    lines, plates = text.split("%% Plates:")
    kept = [line for line in lines.splitlines() if line and not line.startswith("%%")]
    kept = [line for line in kept if not line.endswith("@{ shape: rounded }")]
    blocks = re.findall(r'subgraph "([^"]*)"\n(.*?)\nend', plates, re.DOTALL)
    for label, members in sorted(blocks):
        if re.search(r"[a-z]", label):  # a plate without a name is not informative
            kept += [f'subgraph "{label}"', *sorted(members.splitlines()), "end"]
    return "\n".join(kept)
