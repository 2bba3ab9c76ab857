"""What runs in a new process: `python -m benchmarks.worker TASK ARGUMENT` prints JSON."""

from __future__ import annotations

import time

START = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402


def main() -> None:
    """Run the named task and print its figures as the last line."""
    task, argument = sys.argv[1:]
    if task in FIRST:
        found = FIRST[task](argument)
    elif task.startswith("first_posterior_"):
        found = first_posterior(argument, task.removeprefix("first_posterior_"))
    elif task.startswith("graph_"):
        from . import graphs

        found = getattr(graphs, task)(argument)
    else:
        from . import samplers

        found = getattr(samplers, task)(int(argument))
    print(json.dumps(found))


def first_estimates(path: str) -> dict[str, Any]:
    """Go from a file to the cluster-robust estimates and the bootstrap."""
    import ibis  # noqa: F401
    import pandas  # noqa: F401

    import bayescluster as bc

    imported = time.perf_counter()
    exp = bc.Experiment(path, bc.tutorial_spec())
    read = time.perf_counter()
    for estimator in (bc.two_exposure, bc.naive_ols, bc.cluster_wls, bc.cluster_bootstrap):
        estimator(exp).to_dataframe()
    done = time.perf_counter()
    figures = {"import": imported - START, "experiment": read - imported, "estimates": done - read}
    return {**figures, "pymc_imported": "pymc" in sys.modules}


def first_posterior(path: str, family: str | None = None) -> dict[str, Any]:
    """Go from a file to the posterior: of the tutorial, or of a simulated outcome's family."""
    import arviz  # noqa: F401
    import ibis  # noqa: F401
    import nutpie  # noqa: F401
    import pymc  # noqa: F401

    import bayescluster as bc

    imported = time.perf_counter()
    spec = bc.tutorial_spec()
    if family is not None:
        outcome = {"column": "outcome", "family": family}
        spec = bc.ModelSpec(design=bc.simulate.Scenario().spec.design, outcome=outcome)
    exp = bc.Experiment(path, spec)
    read = time.perf_counter()
    bc.fit(exp, progressbar=False)
    done = time.perf_counter()
    return {"import": imported - START, "experiment": read - imported, "fit": done - read}


FIRST = {"first_estimates": first_estimates, "first_posterior": first_posterior}

if __name__ == "__main__":
    main()
