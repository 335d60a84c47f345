"""Pods may do as little as they can do with."""

from __future__ import annotations

import re

from tests.deploy.manifests import ROOT, Manifests, values

USER = 1034
"""What the images run as (ekiben/building/images/Dockerfile)."""


def test_nobody_is_root_or_may_become_it(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        context = workload.pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in workload.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (workload.name, container["name"])


def test_our_images_run_as_the_user_that_they_were_made_for(manifests: Manifests) -> None:
    assert f"--uid {USER}" in (ROOT / "ekiben" / "building" / "images" / "Dockerfile").read_text()
    for workload in manifests.workloads():
        if not workload.component.startswith("redis"):
            assert workload.pod["securityContext"]["runAsUser"] == USER


def test_no_pod_holds_a_token_of_the_cluster_or_sees_anything_of_its_node(manifests: Manifests) -> None:
    for workload in manifests.workloads():
        pod = workload.pod
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
    for account in manifests.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_service_gets_into_a_pods_settings(manifests: Manifests) -> None:
    """Kubernetes would set EKIBEN_ROUTER_PORT=tcp://… in every pod, after the service ekiben-router."""
    for workload in manifests.workloads():
        assert workload.pod["enableServiceLinks"] is False


def test_every_program_of_ours_can_write_to_tmp_and_keeps_what_it_writes_elsewhere_on_a_volume(
    manifests: Manifests,
) -> None:
    for workload in manifests.workloads():
        if workload.component.startswith("redis"):
            continue
        mounts = [
            each["mountPath"] for each in workload.main["volumeMounts"] if not each.get("readOnly", False)
        ]
        assert "/tmp" in mounts
        for variable in workload.main["env"]:
            if variable["name"] in ("EKIBEN_DATA_DIR", "BENTOML_HOME"):
                assert any(variable["value"].startswith(mount) for mount in mounts), variable


def test_secrets_are_named_and_never_held(manifests: Manifests) -> None:
    assert manifests.of("Secret") == []
    for workload in manifests.workloads():
        for container in workload.containers:
            for variable in container.get("env", []):
                if re.search(r"KEY|TOKEN|SALT|SECRET|PASSWORD", variable["name"]):
                    assert "value" not in variable, variable["name"]
                assert "@" not in variable.get("value", ""), "an address with a password"


def test_the_guide_says_how_each_secret_is_made(manifests: Manifests) -> None:
    guide = (ROOT / "docs" / "kubernetes.md").read_text()
    made = {
        name: set(re.findall(r"--from-literal=([a-z-]+)=", options))
        for name, options in re.findall(
            r"kubectl[^\n]* create secret generic (\S+)((?:[^\n]*\\\n)*[^\n]*)", guide
        )
    }
    for reference in values(manifests.objects, "secretKeyRef"):
        assert reference["key"] in made.get(reference["name"], set()), reference
    for name in values(manifests.objects, "secretName"):
        assert re.search(rf"create secret tls {name}\b", guide), name
