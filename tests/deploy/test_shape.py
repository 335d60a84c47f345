"""What is rendered is what Kubernetes takes, and its parts find each other."""

from __future__ import annotations

from collections import Counter

import kubernetes_validate
import pytest

from tests.deploy.manifests import COMPONENT, Manifests, matches, values
from tests.deploy.quantities import NoQuantity, quantity

VERSION = "1.34"
# Of operators; nobody here has their schemas.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
MIB = 1024**2


def test_every_object_is_valid_to_the_last_field(manifests: Manifests) -> None:
    for each in manifests.objects:
        if each["kind"] in CUSTOM:
            assert each["apiVersion"] == "monitoring.coreos.com/v1"
            continue
        kubernetes_validate.validate(each, VERSION, strict=True)


def test_no_two_objects_have_one_name(manifests: Manifests) -> None:
    names = Counter((each["kind"], each["metadata"]["name"]) for each in manifests.objects)
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_everything_is_in_one_namespace_that_holds_pods_to_the_strictest_rules(manifests: Manifests) -> None:
    namespace = manifests.one("Namespace", manifests.namespace())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_workload_selects_its_own_pods_and_no_others(manifests: Manifests) -> None:
    workloads = manifests.workloads()
    assert {each.component for each in workloads} >= {"router", "controller", "version"}
    for each in workloads:
        found = manifests.selected(each.spec["selector"])
        assert [workload.name for workload in found] == [each.name]


def test_a_service_has_one_workload_behind_it_and_its_ports_are_there(manifests: Manifests) -> None:
    for service in manifests.of("Service"):
        (workload,) = manifests.behind(service)
        assert workload.name == service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert workload.port(port["targetPort"]) == port["port"], service["metadata"]["name"]


def test_every_workload_has_a_service_of_its_name(manifests: Manifests) -> None:
    names = {each["metadata"]["name"] for each in manifests.of("Service")}
    assert {each.name for each in manifests.workloads()} == names


def test_services_of_versions_are_headless(manifests: Manifests) -> None:
    """Or the router would see one address, and one connection would keep to one pod."""
    for service in manifests.of("Service"):
        if service["metadata"]["labels"][COMPONENT] == "version":
            assert service["spec"]["clusterIP"] == "None"


def test_a_stateful_set_names_its_service(manifests: Manifests) -> None:
    for each in manifests.workloads():
        if each.kind == "StatefulSet":
            manifests.one("Service", each.spec["serviceName"])


def test_every_workload_of_ours_may_lose_one_pod_at_a_time(manifests: Manifests) -> None:
    budgets = manifests.of("PodDisruptionBudget")
    held = []
    for budget in budgets:
        (workload,) = manifests.selected(budget["spec"]["selector"])
        assert budget["spec"]["maxUnavailable"] == 1
        held.append(workload.name)
    ours = [each.name for each in manifests.workloads() if not each.component.startswith("redis")]
    assert sorted(held) == sorted(ours)


def test_pods_of_a_workload_are_spread_among_themselves(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        if workload.component.startswith("redis"):
            continue
        constraints = workload.pod["topologySpreadConstraints"]
        assert constraints, workload.name
        for each in constraints:
            (found,) = manifests.selected(each["labelSelector"])
            assert found.name == workload.name


def test_quantities_are_numbers_and_requests_fit_in_limits(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        for container in workload.containers:
            requests, limits = (container["resources"][key] for key in ("requests", "limits"))
            assert set(requests) == set(limits) == {"cpu", "memory"}, workload.name
            for name in requests:
                assert 0 < quantity(requests[name]) <= quantity(limits[name]), (workload.name, name)
            assert quantity(requests["memory"]) >= 64 * MIB, "a thousandth of a byte is written 64m"
            assert quantity(limits["cpu"]) <= 16
    for each in values(manifests.objects, "sizeLimit"):
        assert quantity(each) >= 16 * MIB
    for claim in [
        *manifests.of("PersistentVolumeClaim"),
        *(each for found in values(manifests.objects, "volumeClaimTemplates") for each in found),
    ]:
        assert quantity(claim["spec"]["resources"]["requests"]["storage"]) >= 1024 * MIB


@pytest.mark.parametrize("text", ["banana", "", "1K", "1 Gi", "-1", "1GiB", "1,5", "0x1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(NoQuantity):
        quantity(text)


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    found = [quantity(text) for text in ("500m", "2", "1.5", "1Ki", "1k", "128Mi", "1Gi", "1G")]
    assert found == [0.5, 2.0, 1.5, 1024.0, 1000.0, 128 * MIB, 1024.0 * MIB, 1e9]


def test_what_a_pod_mounts_is_a_volume_of_it_and_is_there(manifests: Manifests) -> None:
    claims = {each["metadata"]["name"] for each in manifests.of("PersistentVolumeClaim")}
    maps = {each["metadata"]["name"] for each in manifests.of("ConfigMap")}
    for workload in manifests.workloads():
        volumes = {each["name"]: each for each in workload.pod.get("volumes", [])}
        templates = {each["metadata"]["name"] for each in workload.spec.get("volumeClaimTemplates", [])}
        mounted = {each["name"] for c in workload.containers for each in c.get("volumeMounts", [])}
        assert mounted == set(volumes) | templates, workload.name
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "configMap" in volume and not volume["configMap"].get("optional"):
                assert volume["configMap"]["name"] in maps


def test_selectors_are_read_as_kubernetes_reads_them() -> None:
    labels = {"a": "1"}
    assert matches({}, labels)
    assert matches(None, labels)
    assert matches({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, labels)
    assert matches({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, labels)
    assert not matches({"matchLabels": {"a": "1", "b": "2"}}, labels)
    assert not matches({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, labels)
    assert not matches({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, labels)
