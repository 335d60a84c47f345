"""A copy of the manifests, for a test that changes them as the guide says."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.deploy.manifests import KUBERNETES


def copy_of_the_manifests(folder: Path) -> Path:
    """Put a copy of deploy/kubernetes into `folder`, and return its path."""
    return Path(shutil.copytree(KUBERNETES, folder / "kubernetes"))
