"""The kinds that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.kinds.label import Label
from ekiben.experiments.kinds.of_users import Mean, Proportion, Ratio
from ekiben.experiments.kinds.requests import Requests

DECLARED: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (Proportion(), Mean(), Ratio(), Label())}
"""Those that a document can ask for, by their names."""

REQUESTS: Final = Requests()


def kind_of(name: str) -> Kind:
    """The kind that a report names; one that another release knows is shown as a plain number."""
    return REQUESTS if name == REQUESTS.name else DECLARED.get(name, Kind())


def _declared(value: Any) -> Any:
    if isinstance(value, Kind):
        return value
    if isinstance(value, str) and value in DECLARED:
        return DECLARED[value]
    raise PydanticCustomError("enum", "must be one of {expected}", {"expected": ", ".join(DECLARED)})


MetricKind = Annotated[
    InstanceOf[Kind],
    BeforeValidator(_declared),
    PlainSerializer(lambda kind: kind.name),
    WithJsonSchema({"enum": list(DECLARED), "type": "string"}),
]
"""A kind as a document's field: in files and in JSON its name."""
