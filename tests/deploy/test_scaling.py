"""Autoscalers look at what is measured, and at nothing that nobody can answer."""

from __future__ import annotations

from typing import Any

import yaml
from prometheus_client import generate_latest

from router.records.metrics import Metrics
from tests.deploy.environment import experiments_of
from tests.deploy.manifests import KUBERNETES, Manifests, Object, render


def scalers(manifests: Manifests) -> list[Object]:
    found = manifests.of("HorizontalPodAutoscaler")
    assert found
    return found


def own_metrics(scaler: Object) -> list[tuple[str, dict[str, str]]]:
    """The names of metrics that are ours, with the labels that are asked for."""
    found = []
    for each in scaler["spec"]["metrics"]:
        metric: dict[str, Any] = each.get("pods", each.get("external", {})).get("metric", {})
        if metric:
            found.append((metric["name"], metric.get("selector", {}).get("matchLabels", {})))
    return found


def test_every_router_and_version_is_scaled_between_bounds(prod: Manifests) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in scalers(prod)}
    for workload in prod.workloads():
        assert (workload.name in scaled) == (workload.component in ("router", "version"))
    for each in scalers(prod):
        assert 1 <= each["spec"]["minReplicas"] < each["spec"]["maxReplicas"]


def test_what_is_scaled_has_no_number_of_pods_of_its_own(prod: Manifests) -> None:
    """Or every `kubectl apply` would set it back."""
    for each in scalers(prod):
        target = each["spec"]["scaleTargetRef"]
        assert "replicas" not in prod.one(target["kind"], target["name"])["spec"]


def test_what_always_answers_is_never_scaled_to_one_pod(prod: Manifests) -> None:
    document = experiments_of(prod)
    least = {each["metadata"]["name"]: each["spec"]["minReplicas"] for each in scalers(prod)}
    live = [f"{name}-{model.live}" for name, model in document.models.items()]
    assert all(least[name] >= 2 for name in ["ekiben-router", *live])


def test_a_metric_that_is_asked_for_is_one_that_the_router_has_with_those_labels(prod: Manifests) -> None:
    metrics = Metrics()
    document = experiments_of(prod)
    for name, model in document.models.items():
        for version in model.versions:
            metrics.version(name, version)
    exposed = generate_latest(metrics.registry).decode().splitlines()
    asked = [each for scaler in scalers(prod) for each in own_metrics(scaler)]
    assert len(asked) == len(scalers(prod))
    for name, labels in asked:
        series = [line for line in exposed if line.startswith((f"{name}{{", f"{name} "))]
        assert any(all(f'{key}="{value}"' in line for key, value in labels.items()) for line in series), name


def test_an_autoscaler_asks_for_its_own_version(prod: Manifests) -> None:
    for version in prod.workloads("version"):
        ((_, labels),) = own_metrics(prod.one("HorizontalPodAutoscaler", version.name))
        assert labels == {key: version.labels[key] for key in ("model", "version")}


def test_the_adapters_rules_serve_every_metric_that_is_asked_for() -> None:
    rules = yaml.safe_load((KUBERNETES / "adapter-rules.yaml").read_text())
    served = {
        kind: {each["name"]["as"] for each in rules[section]}
        for kind, section in (("pods", "rules"), ("external", "externalRules"))
    }
    prod = render(KUBERNETES / "overlays" / "prod")
    for scaler in scalers(prod):
        for metric in scaler["spec"]["metrics"]:
            for kind, names in served.items():
                if kind in metric:
                    assert metric[kind]["metric"]["name"] in names
    for section in ("rules", "externalRules"):
        for each in rules[section]:
            assert each["seriesQuery"].startswith(f"{each['name']['as']}{{")


def test_the_cpu_is_looked_at_too_and_every_container_asks_for_some(prod: Manifests) -> None:
    for scaler in scalers(prod):
        (cpu,) = (each["resource"] for each in scaler["spec"]["metrics"] if each["type"] == "Resource")
        assert cpu["name"] == "cpu"
        target = scaler["spec"]["scaleTargetRef"]
        (workload,) = (each for each in prod.workloads() if each.name == target["name"])
        assert all("cpu" in each["resources"]["requests"] for each in workload.pod["containers"])
