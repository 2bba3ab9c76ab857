"""The command line: a thin layer over the Python API."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

#: Completion takes the name of the shell; detecting it from the parent process can fail.
os.environ.setdefault("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")


def _examples(*lines: str) -> str:
    """Return examples for the end of a command's help, one per line."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])


app: typer.Typer = typer.Typer(
    name="bayescluster",
    help="Bayesian analysis of cluster-randomised product experiments with spillover.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

REPORTS = (".html", ".md", ".json")
TABLES = (".csv", ".parquet")
Output = Annotated[Path, typer.Option("--output", "-o", help="The .html, .md or .json to write.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sampler and of the bootstrap.")]
Draws = Annotated[int, typer.Option(min=4, help="Posterior draws per chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Number of chains.")]
Open = Annotated[bool, typer.Option("--open", help="Open the report in the browser.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the path of the output.")]


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        typer.echo(f"bayescluster {__version__}")
        raise typer.Exit


@app.callback(
    epilog=_examples(
        "bayescluster demo --open",
        "bayescluster report users.csv --model spec.toml -o report.html",
        "bayescluster report --help",
        "bayescluster --install-completion bash",
    )
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Bayesian analysis of cluster-randomised product experiments with spillover."""


@app.command(
    epilog=_examples(
        "bayescluster demo -o my-report.html",
        "bayescluster demo --users 5000 --draws 500 --open",
    )
)
def demo(
    output: Output = Path("tutorial-report.html"),
    users: Annotated[int, typer.Option(min=1_000, help="Users to simulate.")] = 50_000,
    draws: Draws = 1_000,
    chains: Chains = 4,
    seed: Seed = 0,
    open_: Open = False,
    quiet: Quiet = False,
) -> None:
    """Analyse the tutorial's simulated experiment and write its report."""
    from .analysis.analysis import analyze
    from .simulate.spillover_scenario import TUTORIAL_TRUTH, load_tutorial, tutorial_spec

    _check_output(output, *REPORTS)
    run = partial(analyze, load_tutorial(users), tutorial_spec(), truth=TUTORIAL_TRUTH)
    _write_report(run, output, open_, quiet, draws=draws, chains=chains, seed=seed)


@app.command(
    epilog=_examples(
        "bayescluster report users.csv --model spec.toml -o report.html --open",
        "bayescluster report 'events/*.parquet' -m spec.toml -o report.md",
        "bayescluster report users.csv -m minutes.toml -m sales.toml -o scorecard.html",
        "bayescluster report users.csv --edges edges.parquet -m spec.toml -o report.json",
    )
)
def report(
    data: Annotated[str, typer.Argument(help="CSV or Parquet file, or a quoted glob of files.")],
    model: Annotated[
        list[Path],
        typer.Option(
            "--model", "-m", help="Model specification (TOML). Several give a scorecard of metrics."
        ),
    ],
    output: Output,
    edges: Annotated[
        str | None,
        typer.Option(help="CSV or Parquet file of edges, to compute exposure."),
    ] = None,
    draws: Draws = 1_000,
    chains: Chains = 4,
    seed: Seed = 0,
    open_: Open = False,
    quiet: Quiet = False,
) -> None:
    """Analyse an experiment and write its report: .html, .md or .json."""
    from .analysis.analysis import analyze
    from .analysis.scorecard import scorecard
    from .spec.model_spec import load_spec

    _check_output(output, *(REPORTS if len(model) == 1 else REPORTS[:1]))
    specs = [_or_fail(load_spec, path) for path in model]
    run: Callable[..., Any] = partial(analyze, data, specs[0], edges=edges)
    if len(specs) > 1:
        if edges is not None:
            _fail("several models with --edges: first run bayescluster exposure on the users")
        named = {path.stem: spec for path, spec in zip(model, specs, strict=True)}
        if len(named) < len(specs):
            _fail("several models have the same file name, which names the metric; rename one")
        run = partial(scorecard, data, named)
    _write_report(run, output, open_, quiet, draws=draws, chains=chains, seed=seed)


@app.command(
    epilog=_examples(
        "bayescluster exposure edges.parquet users.csv --design spec.toml -o exposed.parquet"
    )
)
def exposure(
    edges: Annotated[str, typer.Argument(help="CSV or Parquet file of edges, or a quoted glob.")],
    users: Annotated[str, typer.Argument(help="CSV or Parquet file of users, or a quoted glob.")],
    design: Annotated[
        Path, typer.Option("--design", "-d", help="Specification (TOML) with [exposure].")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .parquet or .csv file of users to write.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Seed of simulated probabilities.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Add exposure, expected exposure and exposure condition to a table of users."""
    from ._support.progress import step
    from .exposure.expose import expose
    from .spec.model_spec import load_spec

    _check_output(output, *TABLES)
    spec = _or_fail(load_spec, design)
    with step("Joining edges to users and computing probabilities", not quiet):
        found = _or_fail(expose, edges, users, spec, seed=seed)
    _write_table(found.data, output)
    if not quiet:
        for part in (found.graph, found.summary().to_string(index=False), found.positivity):
            typer.echo(f"{part}\n", err=True)
    typer.echo(str(output))


@app.command(epilog=_examples("bayescluster simulate users.parquet --users 100000 --seed 1"))
def simulate(
    output: Annotated[Path, typer.Argument(help="The .csv or .parquet file to write.")],
    users: Annotated[int, typer.Option(min=1, help="Users to simulate.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed; 42 gives the tutorial's data.")] = 42,
) -> None:
    """Write the tutorial's simulated table of users."""
    from .simulate.spillover_scenario import load_tutorial

    _check_output(output, *TABLES)
    _write_table(load_tutorial(users, seed), output, index=False)
    typer.echo(str(output))


def _write_report(
    run: Callable[..., Any], output: Path, open_: bool, quiet: bool, **settings: int
) -> None:
    """Run an analysis or scorecard, write its report and print the path."""
    import matplotlib as mpl

    from ._support.progress import step
    from .analysis.scorecard import Scorecard

    mpl.use("Agg")
    warnings.showwarning = _show_warning
    result = _or_fail(run, progressbar=not quiet, **settings)
    several = isinstance(result, Scorecard)
    text = str(result) if several else "\n".join(f"- {each}" for each in result.conclusions)
    with step("Comparing and writing the report" if several else "Writing the report", not quiet):
        seed = {"seed": settings["seed"]} if several else {}
        written = _or_fail(result.report, output, **seed)
    if not quiet:
        typer.echo(text, err=True)
    typer.echo(str(written))
    if open_:
        typer.launch(str(output.absolute()))


def _write_table(table: Any, output: Path, **options: Any) -> None:
    """Write a table as .csv or .parquet, by the file name."""
    from ._support.atomic_files import write_whole

    write = table.to_csv if output.suffix.lower() == ".csv" else table.to_parquet
    _or_fail(write_whole, output, lambda part: write(str(part), **options))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"bayescluster: warning: {message}", err=True)


def _check_output(output: Path, *suffixes: str) -> None:
    """Exit before any work if the output cannot be written or has another suffix."""
    folder = output.absolute().parent
    if output.is_dir():
        _fail(f"{output} is a folder; give the name of a file")
    if not folder.is_dir():
        _fail(f"the folder of {output} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        _fail(f"the folder of {output} cannot be written to; choose another")
    if output.suffix.lower() not in suffixes:
        _fail(f"{output}: the file name must end in {' or '.join(suffixes)}")


def _or_fail(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the result of a call; print its error as one line and exit with 1 if it fails."""
    from .errors import BayesClusterError

    try:
        return function(*args, **kwargs)
    except (BayesClusterError, OSError) as error:
        return _fail(str(error))


def _fail(message: str) -> None:
    typer.echo(f"bayescluster: error: {message}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    app()
