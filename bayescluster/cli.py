"""The command line: a thin layer over the Python API."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

#: Completion asks for the shell by name; guessing it from the parent process fails under others.
os.environ.setdefault("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")


def _examples(*lines: str) -> str:
    """Return examples for the end of a command's help, a line each."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])


app: typer.Typer = typer.Typer(
    name="bayescluster",
    help="Bayesian analysis of cluster-randomised product experiments with spillover.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Output = Annotated[Path, typer.Option("--output", "-o", help="The .html, .md or .json to write.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sampler and of the bootstrap.")]
Draws = Annotated[int, typer.Option(min=4, help="Posterior draws a chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Number of chains.")]
Open = Annotated[bool, typer.Option("--open", help="Open the report when it is written.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the path of the report only.")]


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
    from .simulate.spillover_scenario import TUTORIAL_TRUTH, load_tutorial, tutorial_spec

    _check_writable(output)
    _check_format(output)
    data = load_tutorial(users)
    _analyse(data, tutorial_spec(), output, draws, chains, seed, quiet, TUTORIAL_TRUTH)
    if open_:
        typer.launch(str(output.absolute()))


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
            "--model", "-m", help="Model specification (TOML); several give a scorecard of metrics."
        ),
    ],
    output: Output,
    edges: Annotated[
        str | None,
        typer.Option(help="CSV or Parquet file of edges: exposure is made from this graph."),
    ] = None,
    draws: Draws = 1_000,
    chains: Chains = 4,
    seed: Seed = 0,
    open_: Open = False,
    quiet: Quiet = False,
) -> None:
    """Analyse an experiment and write its report: .html, .md or .json."""
    from .spec.model_spec import load_spec

    _check_writable(output)
    _check_format(output, several=len(model) > 1)
    specs = [_or_fail(load_spec, path) for path in model]
    if len(specs) > 1:
        if edges is not None:
            _fail("several models and --edges: make the exposure first, by bayescluster exposure")
        named = {path.stem: spec for path, spec in zip(model, specs, strict=True)}
        if len(named) < len(specs):
            _fail("several models of one file name: metrics are named by it, so rename some")
        _scorecard(data, named, output, draws, chains, seed, quiet)
    else:
        _analyse(data, specs[0], output, draws, chains, seed, quiet, None, edges)
    if open_:
        typer.launch(str(output.absolute()))


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
    seed: Annotated[int, typer.Option(min=0, help="Seed, where probabilities are drawn.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Add exposure, expected exposure and exposure condition to a table of users."""
    from ._support.progress import step
    from ._support.whole_files import write_whole
    from .exposure.expose import expose
    from .spec.model_spec import load_spec

    kind = output.suffix.lower()
    if kind not in (".csv", ".parquet"):
        _fail(f"{output}: name the file .parquet or .csv")
    _check_writable(output)
    spec = _or_fail(load_spec, design)
    with step("Joining edges to users, and working out probabilities", not quiet):
        found = _or_fail(expose, edges, users, spec, seed=seed)
    table = found.data
    write = table.to_csv if kind == ".csv" else table.to_parquet
    _or_fail(write_whole, output, lambda part: write(str(part)))
    if not quiet:
        for part in (found.graph, found.summary().to_string(index=False), found.positivity):
            typer.echo(f"{part}\n", err=True)
    typer.echo(str(output))


@app.command(epilog=_examples("bayescluster simulate users.parquet --users 100000 --seed 1"))
def simulate(
    output: Annotated[Path, typer.Argument(help="The .csv or .parquet file to write.")],
    users: Annotated[int, typer.Option(min=1, help="Users to simulate.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="42 gives the tutorial's own data.")] = 42,
) -> None:
    """Write the tutorial's simulated table of users, to try things on."""
    from ._support.whole_files import write_whole
    from .simulate.spillover_scenario import load_tutorial

    kind = output.suffix.lower()
    if kind not in (".csv", ".parquet"):
        _fail(f"{output}: name the file .csv or .parquet")
    _check_writable(output)
    data = load_tutorial(users, seed)
    write = data.to_csv if kind == ".csv" else data.to_parquet
    _or_fail(write_whole, output, lambda part: write(part, index=False))
    typer.echo(str(output))


def _analyse(
    data: Any,
    spec: Any,
    output: Path,
    draws: int,
    chains: int,
    seed: int,
    quiet: bool,
    truth: Mapping[str, float] | None,
    edges: str | None = None,
) -> None:
    import matplotlib as mpl

    from ._support.progress import step
    from .analysis.analysis import analyze

    mpl.use("Agg")
    warnings.showwarning = _show_warning
    analysis = _or_fail(
        analyze,
        data,
        spec,
        draws=draws,
        chains=chains,
        seed=seed,
        truth=truth,
        edges=edges,
        progressbar=not quiet,
    )
    with step("Writing the report", not quiet):
        written = _or_fail(analysis.report, output)
    if not quiet:
        for sentence in analysis.conclusions:
            typer.echo(f"- {sentence}", err=True)
    typer.echo(str(written))


def _scorecard(
    data: Any,
    specs: Mapping[str, Any],
    output: Path,
    draws: int,
    chains: int,
    seed: int,
    quiet: bool,
) -> None:
    import matplotlib as mpl

    from ._support.progress import step
    from .analysis.scorecard import scorecard

    mpl.use("Agg")
    warnings.showwarning = _show_warning
    card = _or_fail(
        scorecard, data, specs, draws=draws, chains=chains, seed=seed, progressbar=not quiet
    )
    with step("Comparing and writing the report", not quiet):
        written = _or_fail(card.report, output, seed=seed)
    if not quiet:
        typer.echo(str(card), err=True)
    typer.echo(str(written))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"bayescluster: warning: {message}", err=True)


def _check_writable(output: Path) -> None:
    """Fail before the work, not after it."""
    folder = output.absolute().parent
    if output.is_dir():
        _fail(f"{output} is a folder; give the name of a file")
    if not folder.is_dir():
        _fail(f"the folder of {output} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        _fail(f"the folder of {output} cannot be written to; name another")


def _check_format(output: Path, several: bool = False) -> None:
    """Fail before the work where the report's name ends otherwise than a report's does."""
    valid = (".html",) if several else (".html", ".md", ".json")
    if output.suffix.lower() not in valid:
        _fail(f"{output}: name the report {' or '.join(valid)}")


def _or_fail(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call, and turn the package's errors and those of the file system into one line and exit 1."""
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
