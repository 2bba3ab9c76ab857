"""The package as a whole: public names, lazy imports, and documents that stay true."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from public_names import public_names

import bayescluster as bc
from bayescluster.spec.families import FAMILIES
from bayescluster.spec.model_spec import default_priors

ROOT = Path(__file__).parents[1]
HEAVY = ("pymc", "pytensor", "nutpie", "arviz", "numba", "matplotlib")


def run(code, cwd=ROOT):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_public_name_is_there():
    for name, value in public_names().items():
        assert callable(value), name
        assert value.__doc__, name
    assert set(bc.__all__) < set(dir(bc))
    assert len(bc.__all__) <= 40
    assert bc.__version__ == metadata.version("bayescluster")
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = bc.nothing


def test_names_do_not_depend_on_the_order_of_imports():
    code = """
import bayescluster.analysis.analysis, bayescluster.answers.method_comparison
import bayescluster.bayes.fit
import bayescluster as bc
print(all(callable(getattr(bc, name)) for name in bc.__all__))
"""
    assert run(code).strip() == "True"


def test_the_frequentist_path_imports_nothing_heavy():
    code = f"""
import sys, bayescluster as bc
exp = bc.Experiment(bc.load_tutorial(2_000), bc.tutorial_spec())
bc.naive_ols(exp), bc.cluster_wls(exp), bc.two_exposure(exp), bc.cluster_bootstrap(exp, 100)
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_importing_the_package_imports_nothing_else():
    code = "import sys, bayescluster; print([n for n in ('pandas', 'ibis') if n in sys.modules])"
    assert run(code).strip() == "[]"


def code_blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_readmes_python_runs(tmp_path):
    """It prints what is shown; of the posterior by NUTS, which varies, nothing is shown."""
    (example,) = code_blocks(ROOT / "README.md", "python")
    (shown,) = code_blocks(ROOT / "README.md", "text")
    assert len([line for line in example.splitlines() if line.strip()]) == 10
    (tmp_path / "models").symlink_to(ROOT / "models")
    faster = example.replace("spec, seed=1", "spec, seed=1, progressbar=False, draws=500")
    assert faster != example
    assert lines(run(faster, tmp_path)) == lines(shown)
    assert (tmp_path / "tutorial-report.html").exists()


def test_the_readme_answers_in_order_and_says_nothing_twice():
    text = (ROOT / "README.md").read_text("utf-8")
    purpose = re.sub(r"^# .*\n", "", text.split("![")[0])
    assert len(re.findall(r"\.(?=\s|$)", purpose)) == 3
    headings = ["Two commands", "Ten lines of Python", "Which guide to open", "Limits"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == headings
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == len(set(links))
    for guide in (ROOT / "docs/guides").glob("*.md"):
        assert guide.name == "index.md" or f"docs/guides/{guide.name}" in links


def test_the_readmes_commands_and_links_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [
        line
        for block in code_blocks(ROOT / "README.md", "sh")
        for line in block.split("\n")
        if line
    ]
    assert targets == ["make demo", "make test"]
    for target in targets:
        assert re.search(rf"^{target.split()[1]}:", makefile, re.MULTILINE)
    assert re.search("^gallery:", makefile, re.MULTILINE)
    for page in ("README.md", "models/README.md", "CONTRIBUTING.md"):
        here = ROOT / page
        for link in re.findall(r"\]\(([^)#]+)\)", here.read_text("utf-8")):
            assert (here.parent / link).exists(), f"{page}: {link}"
    for name in re.findall(r"`bc\.([\w.]+)`", text):
        assert name in public_names(), name


def test_models_readme_states_the_defaults_and_keys():
    text = (ROOT / "models/README.md").read_text("utf-8")
    for name, prior in bc.spec.PriorsSpec():
        if isinstance(prior, bc.Prior):
            stated = re.search(rf"^\|.*`{name}`.*\| (\w+)\(([^)]*)\)", text, re.MULTILINE)
            values = [f"{v:g}" for v in prior.parameters.values()]
            assert stated.groups() == (prior.distribution, ", ".join(values)), name
    linked = text.split("### Defaults of the families with a link")[1].split("## Gallery")[0]
    shared = {"within_sd", "overdispersion", "degrees_of_freedom"}  # not theirs, or as above
    for family in (name for name, family in FAMILIES.items() if family.has_link):
        for name, prior in default_priors(family):
            if isinstance(prior, bc.Prior) and name not in shared:
                stated = re.search(rf"^\|.*`{name}`.*\| (\w+)\(([^)]*)\)", linked, re.MULTILINE)
                values = [f"{v:g}" for v in prior.parameters.values()]
                assert stated.groups() == (prior.distribution, ", ".join(values)), name
    assert default_priors("bernoulli").overdispersion == bc.spec.PriorsSpec().overdispersion
    tables = (
        bc.ModelSpec,
        bc.spec.DesignSpec,
        bc.spec.OutcomeSpec,
        bc.spec.HeterogeneitySpec,
        bc.spec.ReportSpec,
    )
    for table in (*tables, bc.spec.PriorsSpec, bc.spec.ExposureSpec):
        for key in table.model_fields:
            assert any(said in text for said in (f"`{key}`", f"`[{key}", f"priors.{key}")), key
    specs = [bc.load_spec(path) for path in (ROOT / "models").glob("*.toml")]
    for family in {spec.outcome.family for spec in specs}:
        assert f"`{family}`" in text, family
    assert {path.name for path in (ROOT / "models").glob("*.toml")} == set(
        re.findall(r"\[(\w+\.toml)\]", text)
    )


def test_contributing_has_every_room():
    (tree,) = code_blocks(ROOT / "CONTRIBUTING.md", "text")
    rooms = re.findall(r"^[├└]── (\S+) +\S", tree, re.MULTILINE)
    there = {f"{path.parent.name}/" for path in (ROOT / "bayescluster").glob("*/__init__.py")}
    there |= {path.name for path in (ROOT / "bayescluster").glob("*.py")} - {"__init__.py"}
    assert sorted(rooms) == sorted(there)
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    lowest_first = [room.removesuffix(".py").removesuffix("/") for room in rooms]
    assert lowest_first == layers["contracts"][0]["layers"][::-1]


def test_constraints_pin_every_dependency_without_addresses():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in text.split()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for group in ("lint", "test", "oracles", "benchmarks", "docs"):
        wanted += [w for w in project["dependency-groups"][group] if isinstance(w, str)]
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement).group().lower().replace("_", "-")
        assert name in pinned, name


def test_no_public_name_hides_a_module():
    """Otherwise lazy_loader guards the room's module, and joblib cannot send it to workers."""
    import importlib
    from types import ModuleType

    rooms = [bc, *(importlib.import_module(f"bayescluster.{name}") for name in dir(bc)
                   if isinstance(getattr(bc, name), ModuleType))]  # fmt: skip
    assert len(rooms) > 10
    assert {type(room) for room in rooms} == {ModuleType}
