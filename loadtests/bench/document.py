"""The experiment that is measured: users of `credit`, split 50/50 over v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXPERIMENT: Final = "credit-boosting"
VARIANTS: Final = (("control", "v1"), ("treatment", "v2"))


def document(urls: Mapping[str, str], **more: object) -> dict[str, Any]:
    """The experiments file with the addresses of the versions' services, and `more` of the experiment."""
    return {
        "models": {
            "credit": {
                "live": "v1",
                "versions": {version: {"endpoints": [url]} for version, url in urls.items()},
            }
        },
        "experiments": {
            EXPERIMENT: {
                "model": "credit",
                "status": "running",
                "variants": {name: {"version": version, "weight": 50} for name, version in VARIANTS},
                **more,
            }
        },
    }
