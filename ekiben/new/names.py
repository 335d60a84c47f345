"""What a version's module and its BentoML service are called."""

from __future__ import annotations

import re
from pathlib import Path


def module_name(model: str, version: str) -> str:
    """The module of a version under services: credit.v2."""
    return f"{model}.{version}".replace("-", "_")


def module_file(root: Path, model: str, version: str) -> Path:
    """The file of that module: services/credit/v2.py below `root`."""
    return root.joinpath("services", *module_name(model, version).split(".")).with_suffix(".py")


def class_name(model: str, version: str) -> str:
    """The BentoML service in that module: CreditV2."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", f"{model}_{version}") if part)
