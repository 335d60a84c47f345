"""The form in which a verb asks what it is told, made from the verb's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ekiben.control.dashboard.words import CHOICES
from ekiben.experiments.changes.fields import is_flag, may_be_none
from ekiben.experiments.changes.verbs import Verb
from ekiben.experiments.document import Experiment


@dataclass(frozen=True, slots=True)
class FormField:
    """A field as the page shows it. With `choices` one of them is chosen, else text is written."""

    name: str
    label: str
    hint: str
    value: str
    choices: tuple[tuple[str, str], ...] = ()  # each value with its words
    hidden: bool = False
    required: bool = True


def given(verb: Verb, values: Mapping[str, str]) -> dict[str, str]:
    """Those of the values that are the verb's; a flag that is set stands alone."""
    own = {name: text for name, text in values.items() if name in verb.body.model_fields}
    return {name: text for name, text in own.items() if _is_flag(verb, name)} or own


def title_of(verb: Verb, values: Mapping[str, str]) -> str:
    """What the page is called, before the experiment's key: a flag that is set has words of its own."""
    flags = (verb.body.model_fields[name].title for name in given(verb, values) if _is_flag(verb, name))
    return next(flags, None) or verb.title


def fields_of(verb: Verb, experiment: Experiment, values: Mapping[str, str]) -> tuple[FormField, ...]:
    """The fields of the verb's form with what they hold."""
    texts = given(verb, values)
    flags = [name for name in texts if _is_flag(verb, name)]
    names = flags or [name for name in verb.body.model_fields if not _is_flag(verb, name)]
    return tuple(_field(verb, name, experiment, texts.get(name, "")) for name in names)


def _field(verb: Verb, name: str, experiment: Experiment, value: str) -> FormField:
    field = verb.body.model_fields[name]
    choices: tuple[tuple[str, str], ...] = ()
    if name == verb.treatment:
        choices = tuple(
            (each, f"{each}: {experiment.variants[each].version}") for each in verb.treatments(experiment)
        )
        value = choices[0][0] if len(choices) == 1 else value
    elif isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        choices = tuple((each.value, CHOICES.get(each, each.value)) for each in field.annotation)
    return FormField(
        name=name,
        label=field.title or name,
        hint=(field.description or "").replace("`", ""),
        value=value,
        choices=choices,
        hidden=is_flag(field) or len(choices) == 1,
        required=not may_be_none(field),
    )


def _is_flag(verb: Verb, name: str) -> bool:
    return is_flag(verb.body.model_fields[name])
