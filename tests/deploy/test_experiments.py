"""The experiments that the cluster is seeded with lead to the pods that are there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from ekiben.experiments.document import Document
from tests.deploy.environment import experiments_of
from tests.deploy.manifests import Manifests


def unreachable(document: Document, manifests: Manifests) -> list[str]:
    """What is wrong with each endpoint that leads nowhere, or to another version."""
    services = {each["metadata"]["name"]: each for each in manifests.of("Service")}
    found = []
    for name, model in document.models.items():
        for version, spec in model.versions.items():
            for url in spec.endpoints:
                parts = urlsplit(url)
                service = services.get(parts.hostname or "")
                if parts.scheme != "http" or service is None:
                    found.append(f"{url}: there is no such service")
                    continue
                (workload,) = manifests.behind(service)
                # Of a headless service the port is the pod's: no Service port stands between.
                if workload.port(parts.port or 80) is None:
                    found.append(f"{url}: its pods have no such port")
                if (workload.labels["model"], workload.labels["version"]) != (name, version):
                    found.append(f"{url}: these are the pods of another version")
    return found


def test_every_endpoint_is_a_service_of_that_version(manifests: Manifests) -> None:
    assert unreachable(experiments_of(manifests), manifests) == []


def test_every_version_that_runs_is_in_the_experiments(manifests: Manifests) -> None:
    document = experiments_of(manifests)
    running = {(each.labels["model"], each.labels["version"]) for each in manifests.workloads("version")}
    assert running == {(name, each) for name, model in document.models.items() for each in model.versions}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://credit-v2:3000", "another version"),
        ("http://credit-v9:3000", "no such service"),
        ("http://credit-v1:8080", "no such port"),
        ("https://credit-v1:3000", "no such service"),
    ],
)
def test_an_endpoint_that_leads_nowhere_is_noticed(prod: Manifests, url: str, problem: str) -> None:
    document = experiments_of(prod)
    model = document.models["credit"]
    version = model.versions["v1"].model_copy(update={"endpoints": (url,)})
    moved = model.model_copy(update={"versions": {**model.versions, "v1": version}})
    broken = document.model_copy(update={"models": {"credit": moved}})
    (found,) = unreachable(broken, prod)
    assert problem in found


def test_the_job_applies_each_content_of_the_file_once_and_no_router_has_it(manifests: Manifests) -> None:
    (config_map,) = manifests.of("ConfigMap")
    (job,) = manifests.of("Job")
    pod = job["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    # A name with a hash: another content is another Job, which hooks of Argo CD and Flux run.
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    assert config_map["metadata"]["name"].startswith("ekiben-experiments-")
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert container["command"][-1] == f"{mount['mountPath']}/{next(iter(config_map['data']))}"
    for router in manifests.workloads("router"):
        assert not any("configMap" in each and "experiments" in str(each) for each in router.pod["volumes"])


def test_the_job_reaches_the_controller_with_its_token_and_no_rights(manifests: Manifests) -> None:
    (job,) = manifests.of("Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {each["name"]: each for each in container["env"]}
    (controller,) = manifests.workloads("controller")
    parts = urlsplit(told["EKIBEN_CONTROLLER_URL"]["value"])
    service = manifests.one("Service", str(parts.hostname))
    assert manifests.behind(service) == [controller]
    assert parts.port == service["spec"]["ports"][0]["port"]
    assert container["image"] == controller.main["image"]
    (token,) = (each for each in controller.main["env"] if each["name"] == "EKIBEN_ADMIN_TOKEN")
    assert told["EKIBEN_ADMIN_TOKEN"] == token
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == controller.main["securityContext"]
