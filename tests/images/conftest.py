"""Only `make images-test` runs these: they need the images, root, buildah, runc and kubectl."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_WANTED = os.environ.get("EKIBEN_IMAGES_TEST") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not _WANTED:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="`make images-test` runs these"))


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three versions, the router and the controller, ready."""
    from deploy.images.catalogue import images
    from ekiben.building.images.build import work_folder
    from ekiben.building.images.engine import Buildah
    from tests.images.network import Network
    from tests.images.station import VERSIONS, Station, redis_pair

    missing = [name for name in ("buildah", "runc", "kubectl", "ip") if shutil.which(name) is None]
    assert not missing, f"not installed: {', '.join(missing)}"
    assert os.geteuid() == 0, "runc needs root here"
    engine = Buildah(work_folder())
    absent = [image.reference for image in images().values() if not engine.has(image.reference)]
    assert not absent, f"buildah has no {', '.join(absent)}: run `make images` where no Docker daemon answers"
    folder = tmp_path_factory.mktemp("images")
    with Network() as network, redis_pair(folder):
        made = Station(folder, engine, network)
        try:
            versions = [made.start(f"credit-{version}") for version in VERSIONS]
            for version in versions:
                made.ready(version)
            made.ready(made.start_router())
            made.ready(made.start("ekiben-controller"), 3100)
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session")
def applicants() -> list[dict[str, Any]]:
    """Held-out applications, as JSON has them."""
    lines = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()
    return [json.loads(line)["features"] for line in lines[:120]]
