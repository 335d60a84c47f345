"""What Kubernetes calls RuntimeDefault: the profile that containers' engines ship, as runc reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

PROFILE: Final = Path("/usr/share/containers/seccomp.json")


def runtime_default() -> dict[str, Any] | None:
    """The profile for a process without capabilities on x86-64; None where this machine has none."""
    if not PROFILE.exists():
        return None
    profile = json.loads(PROFILE.read_text())
    rules = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        elsewhere = "amd64" not in includes.get("arches", ["amd64"]) or "amd64" in excludes.get("arches", [])
        if includes.get("caps") or elsewhere:
            continue
        kept = {name: rule[name] for name in ("names", "action", "errnoRet") if name in rule}
        rules.append({**kept, "args": rule.get("args") or []})
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }
