"""What a model may predict, and what a version's module and its BentoML service are called."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9_-]*")
"""What a model and a version may be called."""


class Kind(StrEnum):
    """What a model predicts."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    MULTICLASS = "multiclass"
    TEXT = "text"


def module_name(model: str, version: str) -> str:
    """The module of a version: services.credit.v2."""
    return f"services.{model}.{version}".replace("-", "_")


def class_name(model: str, version: str) -> str:
    """The BentoML service in that module: CreditV2."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]", f"{model}_{version}") if part)


def stored_name(model: str, version: str) -> str:
    """The model of a version in BentoML's store, and its Bento: credit_v2."""
    return f"{model}_{version}"
