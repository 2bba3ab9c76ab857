"""The equations of an experiment's model in LaTeX, from its specification."""

from __future__ import annotations

from ...data.experiment import Experiment
from ...spec.size_terms import LOG_SIZE, by_log_size


def equations(exp: Experiment) -> str:
    """Return the likelihood and the distributions between clusters, as an aligned LaTeX block.

    Priors are separate: :func:`bayescluster.report.model_card.priors_in_words.prior_rows`.
    """
    spec = exp.spec
    words = spec.family.words
    lines = [words.equation, *([words.link_equation] if words.link_equation else [])]
    lines.append(r"\eta_{ij} &= " + " + ".join(["a_j", *_effects(exp)]))
    lines += [rf"&\quad + {term}" for term in _covariates(exp)]  # one per line: they are long
    lines += [rf"&\quad + {term}" for term in _size_terms(exp)]
    level = r"\mathrm{intercept\_mean}"
    if spec.design.strata:
        level += r" + \mathrm{stratum\_effect}_{k(j)}"
    spread = r"\mathrm{between\_sd}"
    if spec.heterogeneity.between_sd_by_arm:
        spread += "_{T_j}"
    lines.append(rf"a_j &\sim \mathrm{{Normal}}({level},\ {spread})")
    for name in spec.heterogeneity.slopes:
        mean, sd = _name(name), _name(f"{name}_sd")
        lines.append(rf"{mean}_j &\sim \mathrm{{Normal}}({mean},\ {sd})")
    if spec.design.strata:
        lines.append(r"\textstyle\sum_k \mathrm{stratum\_effect}_k &= 0")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def symbols(exp: Experiment) -> str:
    """Return the meaning of the symbols in `equations`, with column names."""
    spec, design = exp.spec, exp.spec.design
    whole = design.level == "cluster"
    said = [f"user i of cluster j (`{design.cluster}`)"]
    said[0] = said[0].replace("user", f"unit (`{design.unit}`)") if design.unit else said[0]
    said.append(f"y `{spec.outcome.column}`")
    said.append(f"T {'the arm of the cluster' if whole else 'treatment'} (`{design.treatment}`)")
    if design.spillover:
        said.append(f"s exposure to spillover (`{design.spillover}`)")
    if design.saturation:
        said.append(f"q share of the cluster assigned to treatment (`{design.saturation}`)")
    if design.strata:
        said.append(f"k(j) the stratum (`{design.strata}`)")
    if exp.size_terms:
        size = f" (`{design.size}`)" if design.size else ""
        said.append(
            f"g the logarithm of the cluster's size{size} minus its mean over users: at g = 0 an "
            "effect is the average over users"
        )
    if spec.outcome.adjusted_for:
        said.append("a bar denotes a covariate's mean over all units")
    return ", ".join(said)


def _size_terms(exp: Experiment) -> list[str]:
    if not exp.size_terms:
        return []
    products = zip(exp.spec.design.effects, _regressors(exp), strict=True)
    terms = [rf"{_name(by_log_size(name))}\, {regressor}\, g_j" for name, regressor in products]
    return [rf"{_name(LOG_SIZE)}\, g_j", *terms]


def _effects(exp: Experiment) -> list[str]:
    varying = exp.spec.heterogeneity.slopes
    return [
        rf"{_name(name)}{'_j' if name in varying else ''}\, {regressor}"
        for name, regressor in zip(exp.spec.design.effects, _regressors(exp), strict=True)
    ]


def _regressors(exp: Experiment) -> list[str]:
    """Return the regressor of each effect of the design."""
    design = exp.spec.design
    treated = "T_j" if design.level == "cluster" else "T_{ij}"
    regressors = {
        "direct": treated,
        "spillover": "s_{ij}",
        "interaction": rf"{treated}\, s_{{ij}}",
        "within_spillover": f"(1 - {treated})" + r"\, q_j",
    }
    return [regressors[name] for name in design.effects]


def _covariates(exp: Experiment) -> list[str]:
    terms = []
    for name in exp.covariates:
        column = _name(name)
        terms.append(rf"\beta_{{{column}}} ({column}_{{ij}} - \overline{{{column}}})")
    return terms


def _name(text: str) -> str:
    """Return a name in upright letters, with special characters escaped."""
    escaped = "".join("\\" + c if c in "_%&#$" else c for c in text)
    return rf"\mathrm{{{escaped}}}"
