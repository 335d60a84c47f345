"""Documents of other releases: what this one does not know is kept, what it cannot run it does not run.

1. A field that is not known is kept, and written again beside what was changed.
2. An experiment that uses more than the base schema says so in `requires`, which the writer adds. A release
   that lacks one of them does not run the experiment: everyone gets live, and no exposure is recorded. To run
   it without a field that decides who takes part would give users other variants.
3. An experiment that cannot be read at all is kept as it is, and not run.

Files that people write stay strict: a word that is not known there is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from ekiben.experiments.document import (
    Capture,
    Document,
    Experiment,
    Guardrail,
    Metric,
    Model,
    Namespace,
    Ramp,
    RequestLimits,
    Variant,
)
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError, Path
from ekiben.experiments.version import Dialect, Output, Version

REQUIRES: Final = "requires"
_RETIRED: Final = "variants.retired"
"""What an experiment with a retired variant requires: run without that, its users would come back."""
_OF_30E8D9B: Final[Mapping[type[BaseModel], str]] = {
    Document: "models experiments",
    Model: "live timeout_ms cache_ttl_s versions shadow",
    Version: "endpoints workers",
    Experiment: "model status coverage seed phase variants overrides namespace metrics request_limits alpha "
    "min_users min_days ramp acknowledged_model_versions",
    Variant: "version weight",
    Namespace: "name from to",
    Metric: "name outcome kind better guardrail window_hours denominator covariate measure",
    Guardrail: "max_worse",
    RequestLimits: "error_rate fallback_rate slow_rate latency_ms",
    Ramp: "steps every min_users_per_step guardrails then",
}
BASE: Final = {part: frozenset(fields.split()) for part, fields in _OF_30E8D9B.items()}
"""What 30e8d9b knows of each part, and so every release. It refuses a document that has anything else."""
# The fields of each part that hold parts: one, a list of them, or a mapping of them (`_MANY`).
_INSIDE: Final[Mapping[type[BaseModel], Mapping[str, type[BaseModel]]]] = {
    Document: {"models": Model, "experiments": Experiment},
    Model: {"versions": Version, "capture": Capture},
    Version: {"dialect": Dialect, "output": Output},
    Experiment: {"variants": Variant, "namespace": Namespace, "metrics": Metric,
                 "request_limits": RequestLimits, "ramp": Ramp},
    Metric: {"guardrail": Guardrail},
}  # fmt: skip
_MANY: Final = frozenset({"models", "experiments", "versions", "variants"})
_PARTS: Final[tuple[type[BaseModel], ...]] = (*_OF_30E8D9B, Capture, Dialect, Output)
_FIELDS: Final[Mapping[type[BaseModel], Set[str]]] = {
    part: {each.alias or name for name, each in part.model_fields.items()}
    | ({REQUIRES} if part is Experiment else set())
    for part in _PARTS
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a document is another release's: values by their path, and why experiments are not run."""

    values: Mapping[Path, Any] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)


NOTHING_KEPT: Final = Kept()


def read_document(data: Any) -> tuple[Document, Kept]:
    """The document in data of any release with this schema, and what is kept of it.

    Raises DocumentError where not even the models can be read.
    """
    values: dict[Path, Any] = {}
    known = _known(Document, data, (), values)
    not_run = _lacking(known)
    _leave_out(known, data, not_run, values)
    try:
        return parse_document(known), Kept(values, not_run)
    except DocumentError as error:
        bad = {place[1]: line for place, line in zip(error.places, error.problems, strict=True)
               if len(place) > 1 and place[0] == "experiments"}  # fmt: skip
        if not bad:
            raise
        not_run |= {str(key): f"this release cannot read it: {line}" for key, line in bad.items()}
        _leave_out(known, data, not_run, values)
        return parse_document(known), Kept(values, not_run)


def read_routing(data: Any) -> tuple[Document, Kept]:
    """The same of a routing document, whose writer has checked it: each part is read by itself, and that they
    agree is taken for granted. What is not known is not kept. Raises DocumentError.
    """
    known = _known(Document, data, (), {})
    not_run = _lacking(known)
    experiments: dict[str, Experiment] = {}
    try:
        models = {name: Model.model_validate(each) for name, each in _mapping(known, "models").items()}
    except ValidationError as error:
        raise DocumentError([f"models: {error.error_count()} problems"]) from None
    for key, each in _mapping(known, "experiments").items():
        if key not in not_run:
            try:
                experiments[key] = Experiment.model_validate(each)
            except ValidationError:
                not_run[key] = "this release cannot read it"
    return Document.model_construct(models=models, experiments=experiments), Kept({}, not_run)


def _lacking(known: Any) -> dict[str, str]:
    """Why those experiments are not run that require what this release does not have."""
    not_run = {}
    for key, each in _mapping(known, "experiments").items():
        required = each.pop(REQUIRES, None) or [] if isinstance(each, dict) else None
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            not_run[key] = "this release cannot read it"
        elif missing := sorted(set(required) - set(Experiment.model_fields) - {_RETIRED}):
            not_run[key] = f"it needs {', '.join(missing)}, which this release does not have"
    return not_run


def write_document(document: Document, kept: Kept = NOTHING_KEPT) -> dict[str, Any]:
    """A document as plain values that every release with this schema reads, with what is kept of others."""
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for each in data.get("experiments", {}).values():
        more = set(each) - BASE[Experiment]
        if any(variant.get("retired") for variant in each["variants"].values()):
            more.add(_RETIRED)
        if more:
            each[REQUIRES] = sorted(more)
    for path, value in kept.values.items():
        _put(data, path, value)
    return data


def keys_beyond_base(document: Document) -> frozenset[Path]:
    """The paths of what 30e8d9b does not know in a document."""
    values: dict[Path, Any] = {}
    data = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    _known(Document, data, (), values, BASE)
    return frozenset(values)


def _known(
    part: type[BaseModel],
    data: Any,
    path: Path,
    values: dict[Path, Any],
    fields: Mapping[type[BaseModel], Set[str]] = _FIELDS,
) -> Any:
    """A copy of what `fields` has of `data`; the rest is added to `values`."""
    if not isinstance(data, dict):
        return data
    names = fields[part]
    inside = _INSIDE.get(part, {})
    known: dict[str, Any] = {}
    for name, value in data.items():
        if name not in names:
            values[(*path, name)] = value
        elif name in inside and name in _MANY and isinstance(value, dict):
            known[name] = {
                key: _known(inside[name], each, (*path, name, key), values, fields)
                for key, each in value.items()
            }
        elif name in inside and isinstance(value, list):
            known[name] = [
                _known(inside[name], each, (*path, name, _name(each)), values, fields) for each in value
            ]
        elif name in inside:
            known[name] = _known(inside[name], value, (*path, name), values, fields)
        else:
            known[name] = value
    return known


def _leave_out(known: Any, data: Any, keys: Mapping[str, str], values: dict[Path, Any]) -> None:
    for key in keys:
        _mapping(known, "experiments").pop(key, None)
        for path in [path for path in values if path[:2] == ("experiments", key)]:
            del values[path]
        values[("experiments", key)] = data["experiments"][key]


def _put(data: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at `path` where what it belongs to is still there, unless something new stands there."""
    here: Any = data
    for step in path[:-1]:
        if isinstance(here, list):
            here = next((each for each in here if _name(each) == step), None)
        elif isinstance(here, dict):
            here = here.setdefault(step, {}) if len(path) == 2 else here.get(step)
    if isinstance(here, dict):
        here.setdefault(path[-1], value)


def _name(value: Any) -> str:
    return str(value.get("name")) if isinstance(value, dict) else ""


def _mapping(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


_ASKING: Final = ("name", "outcome", "kind", "only_where")
_ANALYSED: Final = frozenset({
    "metrics", "segments", "request_limits", "alpha", "planned_users", "min_users", "min_days", "max_days",
    "goal", "ramp", "acknowledged_model_versions",
})  # fmt: skip


def routing_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a router needs of a document's plain values: models, and of each experiment who gets what.

    It is a document as well, without ramps, minima, overrides of experiments that do not run, and metrics
    but those for which routers ask a second version (`only_where`). A router need not know what only analysts
    do.

    A release that does not know `only_where` runs such an experiment and asks nobody beside. Its users keep
    their variants, and their requests lack a second answer, in every variant alike. The report shows how many
    do. To give them live meanwhile would cost their outcomes too, and mix variants.
    """
    experiments = {}
    for key, each in _mapping(data, "experiments").items():
        if isinstance(each, dict):
            left_out = _ANALYSED if each.get("status") == "running" else _ANALYSED | {"overrides"}
            kept = {name: value for name, value in each.items() if name not in left_out}
            if isinstance(required := kept.get(REQUIRES), list):
                kept[REQUIRES] = [name for name in required if name not in left_out]
            if asking := list(_asking(each.get("metrics"))):
                kept["metrics"] = asking
            experiments[key] = kept
    return {**data, "experiments": experiments}


def _asking(metrics: Any) -> Iterator[dict[str, Any]]:
    """Of the metrics for which routers ask a second version what makes them so."""
    for each in metrics if isinstance(metrics, list) else ():
        if isinstance(each, dict) and each.get("only_where") is not None:
            yield {name: each[name] for name in _ASKING if name in each}
