"""The build files, as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.bentos import ROOT, ROUTER_FILE, build_files
from deploy.requirements import build_files as written

FILES = build_files()
WRITTEN = written()
PARTS = ("ekiben_router", "ekiben_controller")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_versions_file_is_what_models_yaml_makes_of_it(name: str) -> None:
    assert (ROOT / "bentos" / name).read_text() == WRITTEN[name], "`make requirements` writes it again"


def test_the_router_and_the_controller_have_files_of_their_own() -> None:
    assert {FILES[name].labels["part"] for name in PARTS} == {"router", "controller"}


@pytest.mark.parametrize("name", PARTS)
def test_it_installs_what_is_locked_and_lets_bentoml_lock_nothing(name: str) -> None:
    python = yaml.safe_load(FILES[name].path.read_text())["python"]
    locked = f"bentos/requirements/{name.removeprefix('ekiben_')}.txt"
    assert python == {"requirements_txt": locked, "lock_packages": False}


def test_bentoml_finds_the_routers_in_the_root_of_the_repository() -> None:
    assert ROUTER_FILE == ROOT / "bentofile.yaml"
    assert FILES["ekiben_router"].path == ROUTER_FILE


def test_the_images_are_those_of_the_kubernetes_manifests() -> None:
    from deploy.images.catalogue import images
    from ekiben.building.images.image import TAG

    overlay = ROOT / "deploy" / "kubernetes" / "overlays" / "dev" / "kustomization.yaml"
    named = yaml.safe_load(Path(overlay).read_text())["images"]
    ours = {each["name"]: each["newTag"] for each in named if each["name"].startswith("ekiben/")}
    # A model of the repository need not be one of the cluster.
    assert ours.items() <= dict.fromkeys(images(), TAG).items()
