"""The way in from outside leads to the API, and to nothing else of the router."""

from __future__ import annotations

from ekiben.process.http.names import HostNames
from router.doors.table import OPERATIONS
from tests.deploy.environment import router_settings
from tests.deploy.manifests import Manifests, Object
from tests.deploy.quantities import quantity

INSIDE = {"/livez", "/readyz", "/healthz", "/metrics"}


def paths_of(ingress: Object) -> list[tuple[str, str]]:
    """Each path with its type."""
    return [
        (each["path"], each["pathType"])
        for rule in ingress["spec"]["rules"]
        for each in rule["http"]["paths"]
    ]


def lets_in(ingress: Object, path: str) -> bool:
    """Whether a request for `path` gets to the router. A prefix is one of whole segments."""
    return any(
        path == given or (kind == "Prefix" and path.startswith(given.rstrip("/") + "/"))
        for given, kind in paths_of(ingress)
    )


def test_every_page_of_the_api_is_let_in_and_the_insides_are_not(manifests: Manifests) -> None:
    (ingress,) = manifests.of("Ingress")
    pages = {each.path.replace("{", "").replace("}", "") for each in OPERATIONS}
    assert pages >= INSIDE
    assert {each.path for each in OPERATIONS if each.right is None} >= INSIDE
    assert {path for path in pages if lets_in(ingress, path)} == pages - INSIDE


def test_every_path_that_is_let_in_is_one_that_the_router_answers(manifests: Manifests) -> None:
    (ingress,) = manifests.of("Ingress")
    pages = {each.path for each in OPERATIONS}
    for path, _ in paths_of(ingress):
        assert any(page == path or page.startswith(f"{path}/") for page in pages), path


def test_it_leads_to_a_service_and_a_port_that_are_there(manifests: Manifests) -> None:
    (ingress,) = manifests.of("Ingress")
    for rule in ingress["spec"]["rules"]:
        for each in rule["http"]["paths"]:
            backend = each["backend"]["service"]
            service = manifests.one("Service", backend["name"])
            assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]


def test_the_router_answers_to_the_names_that_lead_to_it(manifests: Manifests) -> None:
    settings = router_settings(manifests)
    names = HostNames(settings.host, settings.allowed_hosts)
    (ingress,) = manifests.of("Ingress")
    asked = [rule["host"] for rule in ingress["spec"]["rules"]]
    # kubelet and Prometheus ask by the pod's address, pods by the service's name.
    asked += ["10.244.1.7:3000", "ekiben-router:3000", "ekiben-router.ekiben.svc.cluster.local:3000"]
    assert [name for name in asked if not names.allows(name)] == []


def test_it_takes_bodies_as_large_as_the_router_does(manifests: Manifests) -> None:
    (ingress,) = manifests.of("Ingress")
    size = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert quantity(f"{size.upper()}i") >= router_settings(manifests).max_body_bytes


def test_production_is_reached_by_tls_under_each_of_its_names(prod: Manifests) -> None:
    (ingress,) = prod.of("Ingress")
    named = {host for each in ingress["spec"]["tls"] for host in each["hosts"]}
    assert named == {rule["host"] for rule in ingress["spec"]["rules"]}
