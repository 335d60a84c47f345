"""What an overlay may take in or leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.copies import with_component
from tests.deploy.environment import environment
from tests.deploy.manifests import KUBERNETES, can_render
from tests.deploy.network import Network, Peer
from tests.deploy.test_network import Cluster, needed
from tests.deploy.test_shape import test_every_object_is_valid_to_the_last_field as check_every_object

pytestmark = pytest.mark.skipif(not can_render(), reason="kubectl is not installed: it renders the overlays")
COLLECTOR = Peer("collector", "observability", {"app": "collector"})


def test_without_an_adapter_only_the_cpu_is_looked_at(tmp_path: Path) -> None:
    scalers = with_component(tmp_path, "without-metrics-adapter").of("HorizontalPodAutoscaler")
    assert scalers
    for scaler in scalers:
        assert [each["type"] for each in scaler["spec"]["metrics"]] == ["Resource"]


def test_traces_are_sent_by_whoever_answers_and_by_nobody_else(tmp_path: Path) -> None:
    prod = with_component(tmp_path, "traces")
    check_every_object(prod)
    cluster = Cluster(prod)
    network = Network(prod.of("NetworkPolicy"), {"observability": {}})
    for workload in prod.workloads():
        told = environment(workload.main).get("OTEL_EXPORTER_OTLP_ENDPOINT")
        sends = workload.component in ("router", "version")
        assert (told == "http://collector.observability:4318") == sends
        assert network.allows(cluster.ours[workload.name], COLLECTOR, 4318) == sends
    assert cluster.allowed() == needed(prod, cluster), "and everything else is as it was"


def test_every_component_is_spoken_of_in_the_guide() -> None:
    guide = (KUBERNETES.parents[1] / "docs" / "kubernetes.md").read_text()
    for folder in (KUBERNETES / "components").iterdir():
        assert f"components/{folder.name}" in guide
