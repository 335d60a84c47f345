"""What lies in an image, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.images.catalogue import images
from tests.images.station import Station

NAMES = sorted(images())
PACKAGES = "app/.venv/lib/python3.11/site-packages"


def root(station: Station, name: str) -> Path:
    return station.images.root(images()[name].reference)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_know_where_packages_came_from(station: Station, name: str) -> None:
    files = root(station, name)
    assert not [
        path for path in ("etc/pip.conf", "root/.config", "root/.cache", "wheels") if (files / path).exists()
    ]
    assert list((files / "app").rglob("*.whl")) == []
    # pip notes here what came from an address.
    assert list((files / PACKAGES).glob("*/direct_url.json")) == []
    assert "index-url" not in station.images.history(images()[name].reference)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_what_the_lock_says_and_nothing_else(station: Station, name: str) -> None:
    lines = images()[name].requirements
    names = {line.split("==")[0]: ";" in line for line in lines}
    found = {path.name.split("-")[0] for path in (root(station, name) / PACKAGES).glob("*.dist-info")}
    installed = {each.lower().replace("_", "-").replace(".", "-") for each in found}
    # Behind a semicolon stands what only some releases of Python need.
    assert {each for each, conditional in names.items() if not conditional} <= installed <= set(names)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_tests_and_no_training_data(station: Station, name: str) -> None:
    source = root(station, name) / "home" / "bentoml" / "bento" / "src"
    assert {path.name for path in source.iterdir()} <= {
        "bentofile.yaml", "ekiben", "experiments.yaml", "router", "services",
    }  # fmt: skip
    assert list(source.rglob("test*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_own_files_belong_to_root_and_anybody_may_read_them(station: Station, name: str) -> None:
    for path in (root(station, name) / "home" / "bentoml").rglob("*"):
        its = path.stat()
        assert (its.st_uid, its.st_mode & 0o022, its.st_mode & 0o004) == (0, 0, 0o004), path


@pytest.mark.parametrize("name", NAMES)
def test_its_labels_say_what_it_is(station: Station, name: str) -> None:
    labels = station.images.configuration(images()[name].reference)["Labels"]
    wanted = {"ekiben.bento", "ekiben.git_revision"}
    if images()[name].target == "service":
        wanted |= {f"ekiben.{each}" for each in ("model", "version", "framework", "data_digest", "model_tag")}
    else:
        wanted |= {"ekiben.part"}
    assert wanted <= set(labels), json.dumps(labels)


@pytest.mark.parametrize("name", [name for name in NAMES if images()[name].most_mib])
def test_it_is_no_larger_than_allowed(station: Station, name: str) -> None:
    image = images()[name]
    assert image.most_mib is not None
    assert station.images.size(image.reference) <= image.most_mib * 1024 * 1024
