"""The commands that use a verb on an experiment: each is made from the verb's row."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from inspect import Parameter, Signature
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic.fields import FieldInfo

from ekiben.commands.applying import PANEL
from ekiben.commands.arguments import Experiment, Why, Yes, controller, screen
from ekiben.commands.changing import change
from ekiben.experiments.changes.fields import is_flag, is_many, read_texts
from ekiben.experiments.changes.verbs import VERBS, Verb
from ekiben.experiments.problems import DocumentError
from ekiben.showing.standing import show_ramp
from ekiben.terminal.errors import UsageError

app = typer.Typer(rich_markup_mode="markdown")


def _command(verb: Verb) -> Callable[..., None]:
    def command(experiment: str, why: str | None, yes: bool, **given: Any) -> None:
        body = _body(verb, given)
        if verb.name == "ramp" and not body:
            show_ramp(screen(), controller().experiment(experiment))
            return
        change(f"/experiments/{quote(experiment, safe='')}/{verb.name}", body, why=why, yes=yes)

    options = sorted(verb.body.model_fields.items(), key=lambda item: is_flag(item[1]))
    parameters = [
        _parameter("experiment", Experiment, Parameter.empty),
        *(_field(verb, name, field) for name, field in options),
        _parameter("why", Why, None),
        _parameter("yes", Yes, False),
    ]
    command.__doc__ = verb.help
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return command


def _field(verb: Verb, name: str, field: FieldInfo) -> Parameter:
    """The option, or of a treatment the argument, that a field of the verb's body is given by."""
    told = " ".join((field.description or name).split())
    kind: Any = typer.Option(_called(verb, name), metavar=_written(field), help=told)
    if name == verb.treatment:
        kind = typer.Argument(help=told, show_default=False)
    default = False if is_flag(field) else ... if field.is_required() else None
    return _parameter(name, Annotated[_typed(field), kind], default)


def _typed(field: FieldInfo) -> Any:
    """The type of the option: what the field chooses from or counts as, else text."""
    if is_flag(field):
        return bool
    if is_many(field):
        return list[str] | None
    known = isinstance(field.annotation, type) and issubclass(field.annotation, Enum | int | float)
    return (field.annotation if known else str) | None  # type: ignore[operator]


def _written(field: FieldInfo) -> str | None:
    example = next(iter(field.examples or ()), None)
    if example is None:
        return None
    return ",".join(map(str, example if isinstance(example, list | tuple) else [example]))


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _called(verb: Verb, name: str) -> str:
    """What people call the field."""
    return name.upper() if name == verb.treatment else "--" + verb.options.get(name, name.replace("_", "-"))


def _body(verb: Verb, given: dict[str, Any]) -> dict[str, Any]:
    """What is given, as the verb is told it. Raises UsageError, also for "$V" where nobody has set V."""
    texts = {}
    for name, value in given.items():
        if value is not None and value is not False:
            parts = value if isinstance(value, list) else [str(value)]
            if not all(part.strip(" ,") for part in parts):
                raise UsageError(f"{_called(verb, name)} is empty: give a value, or leave it out")
            texts[name] = ",".join(parts)
    try:
        fields = read_texts(verb.body, texts, {})
    except DocumentError as error:
        raise UsageError("; ".join(_in_options(verb, line) for line in error.problems)) from None
    return fields.model_dump(mode="json", exclude_unset=True)


def _in_options(verb: Verb, line: str) -> str:
    """A problem's line with the option's name in place of the field's, with which it begins."""
    name, rest = re.split(r"(?!\w)[.0-9]*", line, maxsplit=1)
    if name not in verb.body.model_fields:
        return line
    example = _written(verb.body.model_fields[name])
    return f"{_called(verb, name)}{rest}" + (f" (as in {example})" if example else "")


for _verb in VERBS.values():
    app.command(_verb.name, rich_help_panel=PANEL)(_command(_verb))
