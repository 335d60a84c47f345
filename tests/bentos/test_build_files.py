"""The build files, as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.bentos import ROOT, ROUTER_FILE, BuildFile, build_files

FILES = build_files()


def test_there_is_one_for_each_version_the_router_and_the_controller() -> None:
    versions = {f"credit_{path.stem}" for path in (ROOT / "services" / "credit").glob("v[0-9]*.py")}
    assert set(FILES) == {*versions, "ekiben_router", "ekiben_controller"}


@pytest.mark.parametrize("file", FILES.values(), ids=list(FILES))
def test_it_installs_what_is_locked_and_lets_bentoml_lock_nothing(file: BuildFile) -> None:
    python = yaml.safe_load(file.path.read_text())["python"]
    name = file.name.removeprefix("ekiben_")
    assert python == {"requirements_txt": f"bentos/requirements/{name}.txt", "lock_packages": False}


@pytest.mark.parametrize("file", FILES.values(), ids=list(FILES))
def test_it_says_which_model_and_version_or_which_part_it_is(file: BuildFile) -> None:
    if file.serves_a_model:
        model, version = file.name.rsplit("_", 1)
        assert file.labels == {"model": model, "version": version}
    else:
        assert file.labels == {"part": file.name.removeprefix("ekiben_")}


def test_bentoml_finds_the_routers_in_the_root_of_the_repository() -> None:
    assert ROUTER_FILE == ROOT / "bentofile.yaml"
    assert FILES["ekiben_router"].path == ROUTER_FILE


def test_the_images_are_those_of_the_kubernetes_manifests() -> None:
    from deploy.images.catalogue import TAG, images

    overlay = ROOT / "deploy" / "kubernetes" / "overlays" / "dev" / "kustomization.yaml"
    named = yaml.safe_load(Path(overlay).read_text())["images"]
    ours = {each["name"]: each["newTag"] for each in named if each["name"].startswith("ekiben/")}
    assert ours == dict.fromkeys(images(), TAG)
