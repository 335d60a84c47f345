"""Probes ask what the programs answer, and nobody is killed who is still answering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.routing import Route

from ekiben.control.api.health import health_routes
from ekiben.control.app import Controller
from ekiben.serving.door import SETTINGS
from router.doors.table import PLAIN
from router.http import workers
from router.lanes import probes
from router.settings import LAST_STEPS_S
from tests.deploy.environment import controller_settings, experiments_of, router_settings
from tests.deploy.manifests import ROOT, Manifests, Workload

# What the name server's own cache (CoreDNS as clusters are set up with it) may remember.
NAMES_REMEMBERED_S = 30
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def bentoml_paths() -> set[str]:
    from bentoml._internal.server.base_app import BaseAppFactory

    class Plain(BaseAppFactory):
        name = "plain"

    return {cast("Route", each).path for each in Plain().get_system_routes()}


@pytest.fixture(scope="module")
def paths() -> Mapping[str, set[str]]:
    """What each component answers to a GET."""
    controller = health_routes(cast("Any", None), cast("Any", None), cast("Any", None))
    return {
        "router": set(PLAIN),
        "version": bentoml_paths(),
        "controller": {each.path for each in controller},
    }


def test_every_probe_asks_a_page_that_the_program_has_at_a_port_that_is_there(
    manifests: Manifests, paths: Mapping[str, set[str]]
) -> None:
    for workload in manifests.workloads():
        for name in PROBES:
            probe = workload.main[name]
            if workload.component.startswith("redis"):
                if "tcpSocket" in probe:
                    assert workload.port(probe["tcpSocket"]["port"])
                continue
            assert probe["httpGet"]["path"] in paths[workload.component], (workload.name, name)
            assert workload.port(probe["httpGet"]["port"]), (workload.name, name)


def test_only_the_process_itself_decides_whether_it_lives(manifests: Manifests) -> None:
    """A restart mends nothing that is broken elsewhere."""
    for workload in manifests.workloads():
        if not workload.component.startswith("redis"):
            assert workload.main["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert workload.main["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_prometheus_is_sent_to_pages_that_are_there(prod: Manifests, paths: Mapping[str, set[str]]) -> None:
    from tests.deploy.manifests import matches

    monitors = prod.of("ServiceMonitor")
    assert monitors
    for monitor in monitors:
        spec = monitor["spec"]
        services = [
            each for each in prod.of("Service") if matches(spec["selector"], each["metadata"]["labels"])
        ]
        assert {w.name for each in services for w in prod.behind(each)} == {
            each.name for each in prod.workloads()
        }
        for service in services:
            for endpoint in spec["endpoints"]:
                assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
                for workload in prod.behind(service):
                    assert endpoint["path"] in paths[workload.component] | {"/metrics"}
    assert "/metrics" in paths["router"] & paths["controller"]


def test_there_is_time_to_start(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        probe = workload.main["startupProbe"]
        # Loading torch takes 10 s on a quiet machine, and a node that starts many pods is not quiet.
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 60, workload.name


@pytest.mark.parametrize("page", ["/livez", "/readyz", "/metrics"])
async def test_the_controller_answers_those_who_call_it_by_its_pods_address(
    manifests: Manifests, page: str, tmp_path: Path
) -> None:
    """The kubelet and Prometheus do; a browser may not."""
    settings = replace(
        controller_settings(manifests),
        host="127.0.0.1",  # or it asks this process's own environment for the salt
        data_dir=tmp_path,
        events_url=str(tmp_path / "events"),
    )
    transport = httpx.ASGITransport(Controller(settings).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.1.2.3:3100") as client:
        assert (await client.get(page)).status_code in (200, 503)


def router_of(manifests: Manifests) -> Workload:
    (router,) = manifests.workloads("router")
    return router


def test_a_router_that_stops_answers_everything_first(manifests: Manifests) -> None:
    router, settings = router_of(manifests), router_settings(manifests)
    grace_s = router.pod["terminationGracePeriodSeconds"]
    assert grace_s >= settings.shutdown_grace_s + workers._LATE_S + 5
    assert "preStop" not in router.main.get("lifecycle", {}), "draining does it, and the grace counts it"
    longest_s = max(model.timeout_ms for model in experiments_of(manifests).models.values()) / 1000
    assert settings.answer_in_flight_s >= longest_s + LAST_STEPS_S


def test_a_router_goes_on_until_everybody_has_seen_that_it_stops(manifests: Manifests) -> None:
    probe = router_of(manifests).main["readinessProbe"]
    seen_s = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert router_settings(manifests).drain_s >= seen_s + 2


def test_a_version_waits_until_no_router_sends_to_it_before_it_hears_of_the_end(manifests: Manifests) -> None:
    look_every_s = probes._ROUND_S * probes._EVERY_ROUNDS
    timeout_s = SETTINGS["traffic"]["timeout"]
    for version in manifests.workloads("version"):
        sleep_s = version.main["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep_s >= NAMES_REMEMBERED_S + look_every_s
        assert version.pod["terminationGracePeriodSeconds"] >= sleep_s + timeout_s + 5


def test_versions_answer_within_their_time_out_what_the_router_waits_for(manifests: Manifests) -> None:
    longest_s = max(model.timeout_ms for model in experiments_of(manifests).models.values()) / 1000
    assert SETTINGS["traffic"]["timeout"] >= longest_s
    assert SETTINGS["workers"] == 1, "a worker that dies beside others is not started again"


def test_a_rollout_never_has_fewer_pods_than_before(manifests: Manifests) -> None:
    for component in ("router", "version"):
        for workload in manifests.workloads(component):
            assert workload.spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_container_starts_what_its_image_starts(manifests: Manifests) -> None:
    """The images' own commands are tested with them; Redis is the one that is not ours."""
    dockerfile = (ROOT / "ekiben" / "building" / "images" / "Dockerfile").read_text()
    for workload in manifests.workloads():
        if not workload.component.startswith("redis"):
            assert not {"command", "args", "workingDir"} & set(workload.main)
    for container in router_of(manifests).pod["initContainers"]:
        assert container["command"][0] in dockerfile
        assert container["command"][1:] == ["-m", "ekiben.state.wait"]
