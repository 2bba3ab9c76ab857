"""The public names: those at the package's root, and those of its rooms."""

import inspect

import bayescluster as bc


def public_names():
    """Every public name by its path below the package, such as "fit" or "checks.loo"."""
    found = {name: getattr(bc, name) for name in bc.__all__}
    for room in dir(bc):
        module = getattr(bc, room)
        if not inspect.ismodule(module):
            continue
        names = getattr(module, "__all__", None)
        if names is None:  # a module of its own, such as errors
            names = [name for name, value in vars(module).items() if inspect.isclass(value)]
        found |= {f"{room}.{name}": getattr(module, name) for name in names}
    return {path: value for path, value in found.items() if path != "errors.BayesClusterError"}
