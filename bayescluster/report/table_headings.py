"""Headings of the columns in each table of the report."""

from __future__ import annotations

ESTIMATES = {
    "method": "method",
    "term": "effect",
    "average": "average over",
    "estimate": "estimate",
    "std_error": "SE / SD",
    "df": "df",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "p_value": "p-value",
}
ESTIMANDS = {
    "estimand": "estimand",
    "average": "average over",
    "mean": "mean",
    "sd": "SD",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "prob_positive": "P(> 0)",
    "prob_above_threshold": "P(> threshold)",
    "prob_in_rope": "P(in ROPE)",
}
LIFT = {
    "effect": "effect",
    "average": "average over",
    "method": "method",
    "baseline": "baseline",
    "lift": "lift",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "note": "note",
}
AGREEMENT = {
    "term": "effect",
    "width_ratio": "width ratio",
    "overlap": "overlap",
    "shift": "shift (SE)",
    "conclusion": "conclusion",
}
BIAS = {"component": "component", "value": "value", "note": "note"}
CONDITIONS = {"condition": "condition", "n_units": "units", "mean": "mean", "std": "SD"}
CONVERGENCE = {
    "parameter": "parameter",
    "mean": "mean",
    "sd": "SD",
    "mcse_mean": "MCSE",
    "ess_bulk": "bulk ESS",
    "ess_tail": "tail ESS",
    "r_hat": "R-hat",
}
BALANCE = {
    "covariate": "covariate",
    "treated": "treated",
    "control": "control",
    "difference": "difference (SD)",
    "p_value": "p-value",
}
PREDICTIVE = {
    "statistic": "statistic",
    "observed": "observed",
    "predicted": "predicted",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "tail_prob": "tail probability",
    "verdict": "verdict",
}
SENSITIVITY = {
    "priors": "priors",
    "effect": "effect",
    "mean": "mean",
    "sd": "SD",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "shift": "shift (SD)",
    "verdict": "verdict",
}
POWER = {
    "parameter": "parameter",
    "prior": "to the prior",
    "likelihood": "to the data",
    "verdict": "verdict",
}
DECISION = {
    "effect": "effect",
    "average": "average over",
    "state": "decision",
    "prob_beyond_threshold": "P(beyond threshold)",
    "cross_check": "cross-check",
    "check_lower": "lower",
    "check_upper": "upper",
    "loss_ship": "loss if shipped",
    "loss_hold": "loss if held",
    "smaller_loss": "smaller loss",
}
ROLLOUT = {
    "share": "share treated",
    "assumption": "assumption",
    "mean": "change",
    "ci_lower": "lower",
    "ci_upper": "upper",
}
SCORECARD = {
    "title": "metric",
    "role": "role",
    "effect": "effect",
    "average": "average over",
    "mean": "mean",
    "ci_lower": "lower",
    "ci_upper": "upper",
    "prob_beyond_threshold": "P(beyond threshold)",
    "ols_estimate": "CR2 estimate",
    "p_value": "p-value",
    "q_value": "q-value",
    "reading": "reading",
}
