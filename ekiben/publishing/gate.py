"""The gate before a deployment: a version's held-out metrics against those of the live one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ekiben.serving.card import StoredCard

GATES_FILE: Final = Path("training/gates.yaml")


class Check(BaseModel):
    """A metric and how much worse it may be, in its own unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    better: Literal["higher", "lower"]
    max_worse: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Checked:
    """A check and how it went; a metric that one of the two does not have is None, and fails."""

    metric: str
    check: Check
    live: float | None
    candidate: float | None

    @property
    def worse_by(self) -> float | None:
        """How much worse the candidate is, in the metric's unit; negative when it is better."""
        if self.live is None or self.candidate is None:
            return None
        difference = self.live - self.candidate
        return difference if self.check.better == "higher" else -difference

    @property
    def passed(self) -> bool:
        """Whether the candidate is good enough."""
        return self.worse_by is not None and self.worse_by <= self.check.max_worse


class GateError(Exception):
    """The gate cannot judge; the message is one line that says why."""


def read_gates(path: Path = GATES_FILE) -> dict[str, dict[str, Check]]:
    """The checks of each model. Raises `GateError`."""
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, dict[str, Check]]).validate_python(data)
    except (OSError, yaml.YAMLError) as error:
        raise GateError(f"cannot read {path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise GateError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def judge(checks: Mapping[str, Check], live: StoredCard, candidate: StoredCard) -> list[Checked]:
    """Compare two versions' metrics. Raises `GateError` for versions that were measured on different data."""
    if live.data_digest != candidate.data_digest:
        raise GateError("the two versions were measured on different data: train both on the same")
    ours, theirs = candidate.metrics, live.metrics
    return [Checked(name, check, theirs.get(name), ours.get(name)) for name, check in checks.items()]
