"""Documents that the tests begin from; each call gives fresh data to change."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError

CREDIT = """
models:
  credit:
    live: v1
    versions:
      v1: {endpoints: ["http://127.0.0.1:3001"]}
      v2: {endpoints: ["http://127.0.0.1:3002"]}
      v3: {endpoints: ["http://127.0.0.1:3003"]}
    shadow: {v3: 100}
experiments:
  credit-net:
    model: credit
    status: running
    variants:
      control:   {version: v1, weight: 80}
      treatment: {version: v2, weight: 20}
    overrides: {u-qa-1: treatment}
"""


def credit(**experiment: Any) -> dict[str, Any]:
    """One model with three versions and the running experiment credit-net, with these fields changed."""
    data: dict[str, Any] = yaml.safe_load(CREDIT)
    data["experiments"]["credit-net"].update(experiment)
    return data


def credit_document(**experiment: Any) -> Document:
    return parse_document(credit(**experiment))


def variants(**weights: float) -> dict[str, Any]:
    """Variants by name with these weights; the first serves v1, the next v2, then v3."""
    return {
        name: {"version": f"v{number}", "weight": weight}
        for number, (name, weight) in enumerate(weights.items(), start=1)
    }


def problems(data: object) -> tuple[str, ...]:
    """The lines with which `data` is refused."""
    with pytest.raises(DocumentError) as refused:
        parse_document(data)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems
