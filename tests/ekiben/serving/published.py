"""Versions in folders as they lie in BentoML's store, written without the code that publishes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ekiben.serving.features import Features, json_schema
from ekiben.serving.stored import Stored, read_folder, sha256_of


def publish(
    folder: Path, features: type[Features], files: Mapping[str, bytes], served_as: str, **metadata: Any
) -> Stored:
    """A version `shop_v1:1` of these files; its inputs are all features."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    facts = {
        "name": "shop",
        "version": "v1",
        "framework": "tests 1",
        "served_as": served_as,
        "target": "tests",
        "inputs": list(features.model_fields),
        "metrics": {},
        "created_at": "2026-11-28T12:00:00+00:00",
        "data_digest": "d",
        "git_revision": "unknown",
        "digest": "1",
        "features": json_schema(features),
        "files": {name: sha256_of(folder / name) for name in files},
        **metadata,
    }
    written = {
        "name": "shop_v1",
        "version": "1",
        "module": "",
        "labels": {},
        "options": {},
        "metadata": facts,
        "context": {
            "framework_name": "",
            "framework_versions": {},
            "bentoml_version": "1.4.39",
            "python_version": "3.11",
        },
        "signatures": {},
        "api_version": "v2",
        "creation_time": "2026-11-28T12:00:00+00:00",
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(written))
    return read_folder(folder)
