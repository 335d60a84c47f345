"""What the manifests tell the programs, read as the programs read it."""

from __future__ import annotations

import ast
import functools
from typing import Final

from ekiben.control.settings import Settings as ControllerSettings
from ekiben.experiments.document import Document
from ekiben.state.documents.experiments_file import parse_experiments
from router.settings import Settings as RouterSettings
from tests.deploy.manifests import ROOT, Manifests, Workload

SECRETS: Final = {
    ("ekiben", "user-salt"): "a-salt-of-it",
    ("ekiben", "admin-token"): "a-token-of-the-tests",
    ("ekiben", "api-keys"): "a-key-of-it:predict",
    ("ekiben-redis", "cache-url"): "rediss://:a-password@cache.example:6379/0",
    ("ekiben-redis", "state-url"): "rediss://:a-password@state.example:6379/0",
    ("ekiben-events", "access-key-id"): "an-id",
    ("ekiben-events", "secret-access-key"): "a-secret",
}
"""Stand-ins for what the secrets hold."""


SHARED: Final = ("ekiben/state", "ekiben/process", "ekiben/experiments")
"""What router and controller have in common."""


def environment(container: dict[str, object]) -> dict[str, str]:
    """A container's environment, with stand-ins for secrets."""
    found: dict[str, str] = {}
    for variable in container.get("env", []):  # type: ignore[attr-defined]
        name = variable["name"]
        assert name not in found, f"{name} is set twice"
        if "value" in variable:
            assert type(variable["value"]) is str, f"{name} is no string"
            found[name] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            found[name] = SECRETS[reference["name"], reference["key"]]
    return found


def only(manifests: Manifests, component: str) -> Workload:
    """The one workload of a component."""
    (workload,) = manifests.workloads(component)
    return workload


def router_settings(manifests: Manifests) -> RouterSettings:
    """The router's settings as its pods read them."""
    return RouterSettings.from_environ(environment(only(manifests, "router").main))


def controller_settings(manifests: Manifests) -> ControllerSettings:
    """The controller's."""
    return ControllerSettings.from_environ(environment(only(manifests, "controller").main))


def experiments_of(manifests: Manifests) -> Document:
    """The experiments that the Job applies. Raises what it would tell."""
    (config_map,) = manifests.of("ConfigMap")
    (content,) = config_map["data"].values()
    return parse_experiments(content.encode()).document


@functools.cache
def variables_read(packages: tuple[str, ...], prefixes: tuple[str, ...]) -> set[str]:
    """The environment variables that modules of these packages name, by how they begin."""
    found: set[str] = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    name = node.value
                    if name.startswith(prefixes) and name.isupper() and name.isidentifier():
                        found.add(name)
    return found
