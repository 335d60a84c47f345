"""A copy of the manifests, for a test that changes them as the guide says."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.deploy.manifests import KUBERNETES, Manifests, render


def copy_of_the_manifests(folder: Path) -> Path:
    """Put a copy of deploy/kubernetes into `folder`, and return its path."""
    return Path(shutil.copytree(KUBERNETES, folder / "kubernetes"))


def with_component(folder: Path, component: str) -> Manifests:
    """Production with one more component; the copy that is rendered lies in `folder`."""
    overlay = copy_of_the_manifests(folder) / "overlays" / "prod" / "kustomization.yaml"
    content = yaml.safe_load(overlay.read_text())
    content["components"].append(f"../../components/{component}")
    overlay.write_text(yaml.safe_dump(content))
    return render(overlay.parent)
