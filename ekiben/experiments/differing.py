"""Where two versions differ: in what they decide, or by how much in their scores (`only_where` of a metric).

An outcome counts where the two stored answers to its request differ, the one that was served and the other
version's beside it. The same rule holds in every variant, whoever answered, so that what the versions agree
on cancels between variants (A. Deng, V. Hu, "Diluted treatment effect estimation for trigger analysis in
online controlled experiments", WSDM 2015; R. Kohavi, D. Tang, Y. Xu, "Trustworthy Online Controlled
Experiments", 2020, chapter 20).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ekiben.experiments.problems import Path, word

if TYPE_CHECKING:
    from ekiben.experiments.document import Experiment, Metric, Model

_DECISIONS: Final = "decisions_differ"
_SCORES: Final = "scores_differ"


@dataclass(frozen=True, slots=True)
class OnlyWhere:
    """Which requests count: those whose decisions differ, or those whose scores are farther apart."""

    scores_differ: float | None = None
    """Scores farther apart than this differ, of several those that are farthest. None is decisions."""

    @property
    def words(self) -> str:
        """ "the decisions differ"."""
        if self.scores_differ is None:
            return "the decisions differ"
        return f"the scores differ by more than {self.scores_differ:g}"


def _read(value: Any) -> Any:
    if isinstance(value, OnlyWhere):
        return value
    if value == _DECISIONS:
        return OnlyWhere()
    apart = value.get(_SCORES) if isinstance(value, Mapping) and len(value) == 1 else None
    if isinstance(apart, int | float) and not isinstance(apart, bool) and 0 <= apart <= sys.float_info.max:
        return OnlyWhere(float(apart))
    raise PydanticCustomError(
        "enum",
        "must be one of {expected}",
        {"expected": f"{_DECISIONS}, {{{_SCORES}: a number of at least 0}}"},
    )


def _write(rule: OnlyWhere) -> Any:
    return _DECISIONS if rule.scores_differ is None else {_SCORES: rule.scores_differ}


OnlyWhereField = Annotated[
    InstanceOf[OnlyWhere],
    BeforeValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema(
        {
            "oneOf": [
                {"enum": [_DECISIONS], "type": "string"},
                {
                    "type": "object",
                    "properties": {_SCORES: {"type": "number", "minimum": 0}},
                    "required": [_SCORES],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""The rule as a document's field."""


def asked_beside(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """The versions whose answers a request of each variant needs, its own among them; empty when no metric
    compares answers. A treatment is compared with the control, so the control's requests need all of them.
    """
    if all(metric.only_where is None for metric in experiment.metrics):
        return {}
    control, *treatments = experiment.variants.items()
    needed = {control[0]: (control[1].version, *(each.version for _, each in treatments))}
    needed |= {name: (control[1].version, each.version) for name, each in treatments}
    return {name: tuple(dict.fromkeys(versions)) for name, versions in needed.items()}


def only_where_problems(experiment: Experiment, model: Model | None) -> Iterator[tuple[Path, str]]:
    """Yield (path in the experiment, message) for each `only_where` that could not be followed."""
    for place, metric in enumerate(experiment.metrics):
        if metric.only_where is not None:
            for message in _problems(metric, experiment, model):
                yield ("metrics", place, "only_where"), message


def _problems(metric: Metric, experiment: Experiment, model: Model | None) -> Iterator[str]:
    if metric.guardrail is not None:
        yield "belongs to no guardrail, which has to see every request: leave one of the two out"
    versions = [each.version for each in experiment.variants.values()]
    for name in dict.fromkeys(versions[1:]):
        if name == versions[0]:
            yield f"needs two versions, and {word(name)} is both: they never differ"
    rule = metric.only_where
    for name in dict.fromkeys(versions):
        output = model.versions[name].output if model is not None and name in model.versions else None
        if rule is None or output is None:
            continue
        if rule.scores_differ is None and output.decision is None:
            yield f"version {word(name)} names no `decision` in its `output`: name it there"
        if rule.scores_differ is not None and output.score is None and output.scores is None:
            yield f"version {word(name)} names no `score` in its `output`: name it there"
