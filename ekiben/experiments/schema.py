"""The experiments file as JSON Schema (2020-12), for editors.

Whatever `parse_document` takes validates here. It also refuses what no schema can express, such as weights
that do not add up to 100, so an editor that finds nothing wrong does not replace `ekiben check`.
"""

from __future__ import annotations

from typing import Any, Final

from ekiben.experiments.checks import ENDPOINT, NAME
from ekiben.experiments.document import REQUEST_METRICS, Document, Measure, MetricKind

_NOTHING: Final = {"type": "null"}
# From the metric's kind to what its other keys must or must not be.
_RULES: Final = [
    {
        "if": {"properties": {"kind": {"const": MetricKind.RATIO}}},
        "then": {"required": ["denominator"], "properties": {"denominator": {"type": "string"}}},
        "else": {"properties": {"denominator": _NOTHING}},
    },
    {
        "if": {"properties": {"kind": {"enum": [MetricKind.RATIO, MetricKind.LABEL]}}},
        "then": {"properties": {"covariate": _NOTHING}},
    },
    {
        "if": {"properties": {"kind": {"const": MetricKind.LABEL}}},
        "then": {"properties": {"guardrail": _NOTHING}},
    },
    {
        "if": {
            "properties": {
                "kind": {"const": MetricKind.LABEL},
                "measure": {"enum": [Measure.BRIER, Measure.LOG_LOSS]},
            },
            "required": ["measure"],
        },
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
    parts["Metric"]["properties"]["name"]["not"] = {"enum": list(REQUEST_METRICS)}
    parts["Metric"]["allOf"] = _RULES
    parts["Ramp"]["properties"]["every"]["pattern"] = "^(?=[0-9]{1,6}[smhd]$)0*[1-9]"
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "experiments.yaml"}
