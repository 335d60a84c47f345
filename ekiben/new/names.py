"""What a version's module and its BentoML service are called."""

from __future__ import annotations

import re


def module_name(model: str, version: str) -> str:
    """The module of a version under services/: credit_v2."""
    return f"{model}_{version}".replace("-", "_")


def class_name(model: str, version: str) -> str:
    """The BentoML service in that module: CreditV2."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", f"{model}_{version}") if part)
