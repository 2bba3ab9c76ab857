"""The command line: runs, helps, and fails with one clear line before any work is done."""

import pytest
from typer.testing import CliRunner

import bayescluster as bc
from bayescluster.cli import app

QUICK = ["--draws", "600", "--chains", "2"]


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_demo_writes_the_report_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--users", 2_000, *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "tutorial-report.html"
    assert "AI meeting summaries" in (tmp_path / "tutorial-report.html").read_text("utf-8")
    assert "Sampling the posterior" in result.stderr
    assert "Ship: the direct effect" in result.stderr


def test_report_from_a_file_and_a_spec(tmp_path):
    users, spec = tmp_path / "users.parquet", tmp_path / "spec.toml"
    spec.write_text(bc.tutorial_spec().to_toml())
    assert run("simulate", users, "--users", 2_000).exit_code == 0
    out = tmp_path / "out.html"
    result = run("report", users, "--model", spec, "-o", out, "--quiet", *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert result.stderr == ""
    assert out.stat().st_size > 50_000


def test_simulate_writes_the_same_users_to_csv(tmp_path):
    path = tmp_path / "users.csv"
    assert run("simulate", path, "--users", 500, "--seed", 1).exit_code == 0
    import pandas as pd

    pd.testing.assert_frame_equal(
        pd.read_csv(path), bc.load_tutorial(500, seed=1), check_exact=False, check_dtype=False
    )
    assert [p.name for p in tmp_path.iterdir()] == ["users.csv"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["report", "none.csv", "-m", "spec.toml", "-o", "x.html"], "spec.toml: cannot be read"),
        (["report", "none.csv", "-m", "good.toml", "-o", "x.html"], "no file 'none.csv'"),
        (
            ["report", "bad.csv", "-m", "good.toml", "-o", "x.html"],
            "column 'workspace_id', 'treated_workspace'",
        ),
        (["report", "bad.csv", "-m", "good.toml", "-o", "nowhere/x.html"], "folder of nowhere"),
        (["demo", "-o", "."], "is a folder"),
        (["simulate", "users.xlsx"], "the file name must end in .csv or .parquet"),
    ],
)
def test_failures_are_one_line(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(bc.tutorial_spec().to_toml())
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    result = run(*args)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("bayescluster: error: ")
    assert not (tmp_path / "x.html").exists()


def test_help_and_version():
    top = run("--help")
    assert top.exit_code == 0
    assert "Example" in top.stdout
    for command in ("demo", "report", "exposure", "simulate"):
        assert command in top.stdout
        shown = run(command, "--help").stdout
        assert "Example" in shown
        assert f"bayescluster {command} " in shown.split("Example")[1]
    assert run("--version").stdout.strip() == f"bayescluster {bc.__version__}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_of_any_shell_is_shown(shell):
    result = run("--show-completion", shell)
    assert result.exit_code == 0, result.output
    assert "_BAYESCLUSTER_COMPLETE" in result.stdout
    assert f"complete_{shell}" in result.stdout


def test_completion_completes():
    environment = {
        "_BAYESCLUSTER_COMPLETE": "complete_bash",
        "COMP_WORDS": "bayescluster re",
        "COMP_CWORD": "1",
    }
    result = CliRunner().invoke(app, [], prog_name="bayescluster", env=environment)
    assert result.stdout.split() == ["report"]


def test_models_of_one_file_name_are_not_taken_for_each_other(tmp_path):
    given = []
    for folder in ("minutes", "sales"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "spec.toml"
        path.write_text(bc.tutorial_spec().to_toml(), "utf-8")
        given += ["-m", path]
    result = run("report", "users.csv", *given, "-o", tmp_path / "card.html")
    assert result.exit_code == 1
    assert "several models have the same file name" in result.output
