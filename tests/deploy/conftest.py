"""The overlays as kubectl renders them."""

from __future__ import annotations

import pytest

from tests.deploy.manifests import KUBERNETES, OVERLAYS, Manifests, can_render, render


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not can_render():
        for item in items:
            if "deploy" in item.path.parts and "manifests" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="kubectl is not installed: it renders the overlays"))


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay in turn."""
    return render(KUBERNETES / "overlays" / str(request.param))


@pytest.fixture
def prod() -> Manifests:
    """The overlay that autoscales."""
    if not can_render():
        pytest.skip("kubectl is not installed: it renders the overlays")
    return render(KUBERNETES / "overlays" / "prod")
