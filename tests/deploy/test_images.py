"""The images that the manifests name are those that `make images` builds."""

from __future__ import annotations

from deploy.images.catalogue import images
from ekiben.building.images.image import TAG
from tests.deploy.manifests import KUBERNETES, Manifests, render

# Not ours: of the overlay dev.
FOREIGN = {"redis"}


def used(manifests: Manifests) -> set[tuple[str, str]]:
    """Name and tag of every image."""
    found = [
        container["image"].partition(":")
        for workload in manifests.workloads()
        for container in workload.containers
    ]
    return {(name, tag) for name, _, tag in found}


def test_every_image_is_built_here(manifests: Manifests) -> None:
    assert {name for name, _ in used(manifests)} - FOREIGN <= set(images())


def test_no_image_is_the_latest(manifests: Manifests) -> None:
    """A pod that starts again would be another program."""
    assert {name for name, tag in used(manifests) if tag in ("", "latest")} == set()


def test_a_version_runs_its_own_image(manifests: Manifests) -> None:
    for workload in manifests.workloads("version"):
        assert workload.main["image"].partition(":")[0] == f"ekiben/{workload.name}"


def test_dev_runs_what_was_built_last() -> None:
    dev = render(KUBERNETES / "overlays" / "dev")
    assert {tag for name, tag in used(dev) if name not in FOREIGN} == {TAG}
