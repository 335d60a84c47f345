"""What each Bento installs: locked, up to date with constraints.txt, and no more than it needs."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from deploy.requirements import FOLDER, locked, needs
from ekiben.building.requirements import EARLIER, GROUPS, SERVICE, TRACES, closure
from ekiben.project.models import read_models
from tests.processes import ROOT

HEAVY = {
    "altair", "duckdb", "ibis-framework", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "scipy",
    "skops", "tea-tasting", "torch", "vl-convert-python",
}  # fmt: skip
NEEDS = needs()
LOCKS = sorted(NEEDS)


def needs_on(python: str, package: str) -> set[str]:
    """The names of what an installed package needs, without its extras, on that release of Python."""
    found = set()
    for need in map(Requirement, metadata.requires(package) or []):
        environment = {"extra": "", "python_full_version": python}
        if need.marker is None or need.marker.evaluate(environment):
            found.add(need.name)
    return found


def packages(name: str) -> set[str]:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    return {Requirement(line).name for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_what_constraints_and_what_is_installed_say(name: str) -> None:
    assert (FOLDER / f"{name}.txt").read_text() == locked(name), "`make requirements` writes it again"


def test_the_groups_of_models_yaml_are_what_the_extras_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: names_of(each) for name, each in project["optional-dependencies"].items()}
    ours = names_of(project["dependencies"])
    assert set(SERVICE) | set(GROUPS["onnx"]) <= extras["serving"] | ours
    assert set(GROUPS["torch"]) == extras["torch"]
    assert set(GROUPS["skops"]) <= extras["publishing"]
    assert set(TRACES) == extras["traces"]


def names_of(requirements: list[str]) -> set[str]:
    return {Requirement(each).name for each in requirements}


def test_every_version_names_groups_and_no_packages_that_no_test_knows() -> None:
    listed = [one for its in read_models(ROOT).values() for one in its.versions.values()]
    assert {name for one in listed for name in one.requirements} <= set(GROUPS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_and_names_no_address(name: str) -> None:
    line = re.compile(r"#.*|[a-z0-9-]+==[0-9][0-9a-z.]*(; python_full_version < \"3\.11\.\d+\")?")
    for written in (FOLDER / f"{name}.txt").read_text().splitlines():
        assert line.fullmatch(written), written
        assert "://" not in written


@pytest.mark.parametrize("name", ["router", "router_process"])
def test_the_router_installs_nothing_that_computes(name: str) -> None:
    assert packages(name) & HEAVY == set()


@pytest.mark.parametrize("name", ["credit_v1", "credit_v2"])
def test_v1_and_v2_install_onnx_runtime_and_nothing_else_that_computes(name: str) -> None:
    assert packages(name) & HEAVY == {"onnxruntime"}


def test_v3_installs_torch_and_nothing_else_that_computes() -> None:
    assert packages("credit_v3") & HEAVY == {"torch"}
    assert not [each for each in packages("credit_v3") if each.startswith(("nvidia-c", "cuda", "triton"))]


def test_the_controller_neither_trains_nor_serves_a_model() -> None:
    assert packages("controller") & {"onnxruntime", "scikit-learn", "skops", "torch"} == set()


@pytest.mark.parametrize("process", ["router", "controller"])
def test_a_process_installs_what_its_bento_does_but_for_bentoml(process: str) -> None:
    assert packages(f"{process}_process") < packages(process)
    assert "bentoml" in packages(process) - packages(f"{process}_process")


@pytest.mark.parametrize("name", LOCKS)
def test_what_only_an_earlier_python_3_11_needs_is_listed(name: str) -> None:
    for package in closure(NEEDS[name]):
        for need in needs_on("3.11.0", package) - needs_on("3.11.99", package):
            assert need == Requirement(EARLIER[package]).name
