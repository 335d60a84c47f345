"""What `kubectl kustomize` makes of a folder, and how its objects find each other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ("dev", "prod")
COMPONENT: Final = "app.kubernetes.io/component"

Object = dict[str, Any]


def can_render() -> bool:
    """Whether kubectl is here."""
    return shutil.which("kubectl") is not None


@lru_cache
def render(folder: Path) -> Manifests:
    """The objects of a kustomization. Raises `AssertionError` with what kubectl says."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings: what is deprecated
    return Manifests([found for found in yaml.safe_load_all(done.stdout) if found is not None])


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) selects these labels; an empty one does."""
    selector = selector or {}
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions", []))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    match operator:
        case "In":
            return labels.get(key) in expression["values"]
        case "NotIn":
            return labels.get(key) not in expression["values"]
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise AssertionError(f"no such operator: {operator}")


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet with the pods that it makes."""

    object: Object

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def spec(self) -> dict[str, Any]:
        """The workload's own spec."""
        return dict(self.object["spec"])

    @property
    def labels(self) -> dict[str, str]:
        """The pods' labels."""
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def component(self) -> str:
        """router, controller, version, redis-cache or redis-state."""
        return self.labels[COMPONENT]

    @property
    def pod(self) -> dict[str, Any]:
        """The pods' spec."""
        return dict(self.spec["template"]["spec"])

    @property
    def main(self) -> dict[str, Any]:
        """The one container that goes on running."""
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Those that start first, and the one that goes on."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def port(self, port: str | int) -> int | None:
        """The number of a port of the main container, by its name or number; None where there is none."""
        for each in self.main.get("ports", []):
            if port in (each["name"], each["containerPort"]):
                return int(each["containerPort"])
        return None


@dataclass(frozen=True)
class Manifests:
    """Everything that one overlay makes."""

    objects: Sequence[Object]

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of that kind and name."""
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def workloads(self, component: str | None = None) -> list[Workload]:
        """Every Deployment and StatefulSet, or those of one component."""
        found = [Workload(each) for kind in ("Deployment", "StatefulSet") for each in self.of(kind)]
        return [each for each in found if component in (None, each.component)]

    def selected(self, selector: Mapping[str, Any] | None) -> list[Workload]:
        """The workloads whose pods a label selector selects."""
        return [each for each in self.workloads() if matches(selector, each.labels)]

    def behind(self, service: Object) -> list[Workload]:
        """The workloads behind a Service."""
        return self.selected({"matchLabels": service["spec"]["selector"]})

    def namespace(self) -> str:
        """The one namespace that everything is in."""
        (name,) = {each["metadata"]["namespace"] for each in self.objects if each["kind"] != "Namespace"}
        return str(name)


def values(data: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, however deep."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(data, list):
        for each in data:
            yield from values(each, key)
