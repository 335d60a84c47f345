"""From a pod of the Kubernetes manifests to what runc runs: the same user, rights, limits and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.deploy.manifests import Workload
from tests.images.seccomp import runtime_default

SECRETS: Final[Mapping[str, str]] = {
    "user-salt": "a-salt-of-the-tests",
    "admin-token": "a-token-of-the-tests",
}
"""What the tests' `Secret` holds; a key that is not here is optional."""

_CAPABILITIES: Final = ("bounding", "effective", "inheritable", "permitted", "ambient")
_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_TMPFS: Final = ["nosuid", "nodev"]
# What runc and containerd mount for every container.
_MOUNTS: Final = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "mode=755", "size=64m"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs",
     "options": ["nosuid", "noexec", "nodev", "ro"]},
)  # fmt: skip
_MASKED: Final = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/scsi",
    "/sys/firmware",
]
_READ_ONLY: Final = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def specification(
    workload: Workload,
    image: Mapping[str, Any],
    root: Path,
    namespace: Path,
    files: Mapping[str, Path],
    folder: Path,
    *,
    container: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The config.json of runc for a container of the pod, by default the one that goes on running.

    `image` is the image's configuration, `files` what is mounted read-only beside the pod's own volumes: path
    in the container → file or folder here (a configMap's content is among them). Disks are made in `folder`.
    """
    its = container or workload.main
    pod, rights = workload.pod["securityContext"], its["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] != 0
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    user = {"uid": pod["runAsUser"], "gid": pod["runAsGroup"], "additionalGids": [pod["fsGroup"]]}
    linux: dict[str, Any] = {
        "namespaces": [
            *({"type": kind} for kind in ("pid", "ipc", "uts", "mount")),
            {"type": "network", "path": str(namespace)},
        ],
        "resources": {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": quantity(its["resources"]["limits"]["memory"])},
        },
        "maskedPaths": _MASKED,
        "readonlyPaths": _READ_ONLY,
    }
    if (profile := runtime_default()) is not None:
        linux["seccomp"] = profile
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": user,
            # `command` stands for the image's entry point, `args` for its command.
            "args": [*its["command"], *its.get("args", [])] if "command" in its else image["Cmd"],
            "env": [*image["Env"], *(f"{name}={value}" for name, value in environment(its).items())],
            "cwd": its.get("workingDir", image["WorkingDir"]),
            "capabilities": {kind: [] for kind in _CAPABILITIES},
            "noNewPrivileges": not rights["allowPrivilegeEscalation"],
        },
        "root": {"path": str(root), "readonly": rights["readOnlyRootFilesystem"]},
        "hostname": workload.name,
        "mounts": [*_MOUNTS, *_volumes(workload, its, user["gid"], folder), *_binds(files)],
        "linux": linux,
    }


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """The variables that the manifest sets, with the tests' secrets in."""
    found = {}
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        else:
            secret = variable["valueFrom"]["secretKeyRef"]
            if secret["key"] in SECRETS:
                found[variable["name"]] = SECRETS[secret["key"]]
            else:
                assert secret.get("optional") is True, secret
    return found


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity with a binary unit."""
    return int(text[:-2]) * _UNITS[text[-2:]]


def _volumes(
    workload: Workload, container: Mapping[str, Any], gid: int, folder: Path
) -> list[dict[str, Any]]:
    volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
    mounts = []
    for mount in container.get("volumeMounts", []):
        volume, inside = volumes[mount["name"]], mount["mountPath"]
        if mount.get("readOnly"):
            continue  # a configMap: among the files
        if volume.get("emptyDir"):
            options = [*_TMPFS, "mode=1777", f"size={quantity(volume['emptyDir']['sizeLimit'])}"]
            mounts.append({"destination": inside, "type": "tmpfs", "source": "tmpfs", "options": options})
        else:  # a disk: `fsGroup` has made it its group's
            disk = folder / mount["name"]
            disk.mkdir(parents=True)
            os.chown(disk, 0, gid)
            disk.chmod(0o2775)
            mounts.append(
                {"destination": inside, "type": "bind", "source": str(disk), "options": ["rbind", "rw"]}
            )
    return mounts


def _binds(files: Mapping[str, Path]) -> list[dict[str, Any]]:
    return [
        {"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", "ro"]}
        for inside, outside in files.items()
    ]
