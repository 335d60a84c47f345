"""What docs/kubernetes.md shows is what works."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from ekiben.state.documents.experiments_file import parse_experiments
from tests.deploy import test_lives, test_network, test_security, test_shape
from tests.deploy.copies import copy_of_the_manifests
from tests.deploy.environment import environment, experiments_of
from tests.deploy.manifests import KUBERNETES, ROOT, Manifests, render
from tests.deploy.network import Peer
from tests.deploy.test_experiments import unreachable

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()


def shown(start: str) -> str:
    """The first block of YAML in the guide that begins so."""
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (block,) = (each for each in blocks if each.startswith(start))
    return str(block)


@pytest.fixture
def canary(prod: Manifests, tmp_path: Path) -> Manifests:
    """Production with the guide's canary in it, put there as the guide says."""
    folder = copy_of_the_manifests(tmp_path)
    version = folder / "versions" / "credit-v4"
    version.mkdir()
    (version / "kustomization.yaml").write_text(shown("apiVersion: kustomize"))
    overlay = folder / "overlays" / "prod" / "kustomization.yaml"
    content = overlay.read_text()
    overlay.write_text(content.replace("  - ../../base\n", "  - ../../base\n  - ../../versions/credit-v4\n"))
    experiments = folder / "base" / "experiments.yaml"
    lines = (
        experiments.read_text().replace("shadow: {v3: 100}", "shadow: {v4: 100}").splitlines(keepends=True)
    )
    (place,) = (number for number, line in enumerate(lines) if line.lstrip().startswith("v3:"))
    lines.insert(place + 1, shown("      v4:"))
    experiments.write_text("".join(lines))
    return render(overlay.parent)


def test_a_canary_is_ten_lines() -> None:
    assert len(shown("apiVersion: kustomize").splitlines()) == 10


def test_a_canary_is_all_that_a_version_is(canary: Manifests, prod: Manifests) -> None:
    # The experiments have a hash of their content in their name, and another content here.
    hashed = re.compile("(ekiben-experiments)-[a-z0-9]{10}")
    old, new = (
        {(each["kind"], hashed.sub(r"\1", each["metadata"]["name"])) for each in m.objects}
        for m in (prod, canary)
    )
    kinds = {kind for kind, name in old if name == "credit-v1"}
    assert new - old == {(kind, "credit-v4") for kind in kinds}
    assert old - new == set()
    (version,) = (each for each in canary.workloads("version") if each.name == "credit-v4")
    assert version.main["image"] == "ekiben/credit-v4:0.2.0"
    assert environment(version.main)["BENTOML_HOME"]


def test_a_canary_keeps_every_rule_of_the_others(canary: Manifests) -> None:
    test_shape.test_every_object_is_valid_to_the_last_field(canary)
    test_shape.test_a_workload_selects_its_own_pods_and_no_others(canary)
    test_shape.test_a_service_has_one_workload_behind_it_and_its_ports_are_there(canary)
    test_shape.test_every_workload_of_ours_may_lose_one_pod_at_a_time(canary)
    test_shape.test_pods_of_a_workload_are_spread_among_themselves(canary)
    test_security.test_nobody_is_root_or_may_become_it(canary)
    test_lives.test_a_version_waits_until_no_router_sends_to_it_before_it_hears_of_the_end(canary)
    test_network.test_the_policies_let_through_what_is_needed_and_nothing_else(canary)
    assert unreachable(experiments_of(canary), canary) == []


def test_versions_that_are_there_are_as_short_as_the_canary() -> None:
    for version in ("credit-v1", "credit-v2"):
        text = (KUBERNETES / "versions" / version / "kustomization.yaml").read_text()
        assert len(text.splitlines()) == 10


def test_every_name_that_the_guide_gives_to_kubectl_is_there(prod: Manifests) -> None:
    there = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in prod.objects}
    for name in re.findall(r"\b((?:deployment|service)/[a-z-]+)", GUIDE):
        assert name in there
    for folder in re.findall(r"-k (deploy/\S+?)[`\s,]", GUIDE):
        assert (ROOT / folder / "kustomization.yaml").exists()
    for label in re.findall(r"-l (\S+)=(\S+)", GUIDE):
        assert any(each.labels.get(label[0]) == label[1] for each in prod.workloads())


def test_the_switch_that_the_guide_presses_is_the_one_that_routers_watch(prod: Manifests) -> None:
    (router,) = prod.workloads("router")
    name, key = re.findall(r"create configmap (\S+) --from-literal=(\S+)=credit", GUIDE)[0]
    mounts = {each["mountPath"]: each["name"] for each in router.main["volumeMounts"]}
    path = Path(environment(router.main)["EKIBEN_PANIC_FILE"])
    (volume,) = (each for each in router.pod["volumes"] if each["name"] == mounts[str(path.parent)])
    assert (volume["configMap"]["name"], path.name) == (name, key)


def test_the_seed_of_the_cluster_is_a_valid_document() -> None:
    parse_experiments((KUBERNETES / "base" / "experiments.yaml").read_bytes())
    assert yaml.safe_load((KUBERNETES / "adapter-rules.yaml").read_text())


def test_the_load_test_in_the_cluster_asks_the_router_and_is_let_in(prod: Manifests) -> None:
    page = (ROOT / "loadtests" / "README.md").read_text()
    (text,) = re.findall(r"<<'YAML'\n(.*?)\nYAML", page, re.DOTALL)
    objects = list(yaml.safe_load_all(text))
    assert [each["kind"] for each in objects] == ["Service", "Job", "Job"]
    for each in objects:
        kubernetes_validate.validate(each, test_shape.VERSION, strict=True)
    name, namespace, port = re.findall(r"http://([a-z-]+)\.([a-z-]+):(\d+)", text)[0]
    (service,) = (each for each in prod.of("Service") if each["metadata"]["name"] == name)
    assert namespace == prod.namespace()
    assert int(port) in [each["port"] for each in service["spec"]["ports"]]
    (own, label, value) = re.findall(r"kubectl label namespace (\S+) (\S+)=(\S+)", page)[0]
    cluster = test_network.Cluster(prod)
    network = test_network.Network(prod.of("NetworkPolicy"), {own: {label: value}})
    assert network.allows(Peer("locust", own), cluster.ours[name], int(port))
