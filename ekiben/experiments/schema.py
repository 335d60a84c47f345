"""The experiments file as JSON Schema (2020-12), for editors.

Whatever `parse_document` takes validates here. It also refuses what no schema can express, such as weights
that do not add up to 100, so an editor that finds nothing wrong does not replace `ekiben check`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ekiben.experiments.checks import ENDPOINT, NAME
from ekiben.experiments.document import Document
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.kinds.table import DECLARED
from ekiben.experiments.version import HTTP_NAME, MAX_SCORES, SECRET, URL_PATH

_NOTHING: Final = {"type": "null"}


def _is(test: Callable[[Kind], bool]) -> dict[str, Any]:
    """Whether a metric is of a kind for which `test` is true."""
    return {"properties": {"kind": {"enum": [name for name, kind in DECLARED.items() if test(kind)]}}}


def _rules() -> list[dict[str, Any]]:
    """From the metric's kind to what its other keys must or must not be."""
    losses = {"measure": {"enum": [measure for measure in LabelMeasure if measure.is_loss]}}
    labels = _is(lambda kind: kind.of_predictions)
    return [
        {
            "if": _is(lambda kind: kind.is_ratio),
            "then": {"required": ["denominator"], "properties": {"denominator": {"type": "string"}}},
            "else": {"properties": {"denominator": _NOTHING}},
        },
        {
            "if": _is(lambda kind: not kind.takes_covariate),
            "then": {"properties": {"covariate": _NOTHING}},
        },
        {
            "if": _is(lambda kind: not kind.adds_up),
            "then": {"properties": {"only_where": _NOTHING}},
        },
        {
            "if": labels,
            "then": {"properties": {"guardrail": _NOTHING}},
            "else": {"properties": {"classes": _NOTHING}},
        },
        {
            "if": {"properties": labels["properties"] | losses, "required": ["measure"]},
            "then": {"properties": {"better": {"const": "lower"}}, "required": ["better"]},
        },
    ]


def experiments_schema() -> dict[str, Any]:
    """The schema of an experiments file: the document's types, and of the checks what can be expressed."""
    schema = Document.model_json_schema()
    parts = {"Document": schema, **schema["$defs"]}
    for part in parts.values():
        for field in part.get("properties", {}).values():
            field.pop("title", None)  # the key itself, in capitals
            field["description"] = " ".join(field["description"].split())
    names = {"pattern": f"^({NAME.pattern})$", "maxLength": 100}
    for part, key in (("Document", "models"), ("Document", "experiments"), ("Model", "versions")):
        parts[part]["properties"][key]["propertyNames"] = names
    parts["Document"]["properties"]["experiments"]["type"] = ["object", "null"]  # an empty section
    parts["Experiment"]["properties"]["variants"] |= {"propertyNames": names, "minProperties": 2}
    parts["Experiment"]["properties"]["overrides"]["propertyNames"] = {"minLength": 1, "maxLength": 256}
    parts["Version"]["properties"]["endpoints"]["items"]["pattern"] = f"^({ENDPOINT.pattern})$"
    parts["Version"]["properties"]["headers"] |= {
        "propertyNames": {"pattern": f"^({HTTP_NAME.pattern})$"},
        "additionalProperties": {"type": "string", "pattern": f"^({SECRET.pattern})$"},
    }
    parts["Dialect"]["properties"]["path"]["pattern"] = f"^({URL_PATH.pattern})$"
    parts["Metric"]["properties"]["name"]["not"] = {"enum": list(REQUEST_METRICS)}
    parts["Metric"]["properties"]["classes"]["anyOf"][0] |= {
        "minItems": 2,
        "maxItems": MAX_SCORES,
        "uniqueItems": True,
    }
    parts["Metric"]["allOf"] = _rules()
    margins = list(parts["Guardrail"]["properties"])
    parts["Guardrail"]["oneOf"] = [
        {"required": [name], "properties": {name: {"type": "number"}, other: _NOTHING}}
        for name, other in (margins, margins[::-1])
    ]
    parts["Ramp"]["properties"]["every"]["pattern"] = "^(?=[0-9]{1,6}[smhd]$)0*[1-9]"
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "experiments.yaml"}
