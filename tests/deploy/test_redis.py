"""The two Redis of the overlay dev are set as `docs/settings.md` asks, and as the embedded pair is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ekiben.state.embedded import _SETTINGS
from tests.deploy.manifests import KUBERNETES, Manifests, Workload, can_render, render
from tests.deploy.quantities import quantity

pytestmark = pytest.mark.skipif(not can_render(), reason="kubectl is not installed: it renders the overlays")


@pytest.fixture(scope="module")
def dev() -> Manifests:
    return render(KUBERNETES / "overlays" / "dev")


def options(arguments: Sequence[str]) -> dict[str, str]:
    """`--name value …` as a mapping."""
    names, values = arguments[::2], arguments[1::2]
    assert all(name.startswith("--") for name in names)
    assert len(set(names)) == len(names)
    return dict(zip(names, values, strict=True))


def redis(dev: Manifests, name: str) -> Workload:
    (found,) = dev.workloads(f"redis-{name}")
    assert found.kind == "StatefulSet"
    return found


@pytest.mark.parametrize("name", ["cache", "state"])
def test_each_is_set_as_its_embedded_twin(dev: Manifests, name: str) -> None:
    here = options(redis(dev, name).main["args"])
    assert here["--save"] == ""
    assert options(_SETTINGS[name]).items() <= here.items()


@pytest.mark.parametrize("name", ["cache", "state"])
def test_each_refuses_or_forgets_before_its_container_is_killed(dev: Manifests, name: str) -> None:
    workload = redis(dev, name)
    memory = float(options(workload.main["args"])["--maxmemory"].removesuffix("mb")) * 1024**2
    assert memory * 1.25 <= quantity(workload.main["resources"]["limits"]["memory"])


def test_the_state_is_on_a_volume_of_its_own_and_the_cache_is_not(dev: Manifests) -> None:
    state, cache = redis(dev, "state"), redis(dev, "cache")
    (claim,) = state.spec["volumeClaimTemplates"]
    (mount,) = state.main["volumeMounts"]
    assert mount["name"] == claim["metadata"]["name"]
    assert mount["mountPath"] == options(state.main["args"])["--dir"]
    assert "volumeClaimTemplates" not in cache.spec


def test_in_production_there_is_none(prod: Manifests) -> None:
    assert prod.of("StatefulSet") == []
    assert not [each for each in prod.workloads() if each.component.startswith("redis")]
