"""`ekiben new`: the files of a new version, written once and never over others."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel
from rich.console import Console

from ekiben.clients.document import read_routed
from ekiben.new.entry import next_port, with_listed, with_version
from ekiben.new.template import (
    TARGET,
    Schema,
    new_schema,
    read_schema,
    schema_module,
    service_module,
    training_module,
)
from ekiben.project.models import FILE, Listed, module_file, read_models
from ekiben.project.names import Kind, module_name
from ekiben.serving.features import Kind as FeatureKind
from ekiben.terminal.errors import EkibenError, UsageError

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `ekiben new` is asked for. `classes` are names of several classes, in any order."""

    model: str
    version: str
    kind: Kind
    features: Sequence[str]
    classes: Sequence[str]


def write_new(console: Console, root: Path, experiments_file: Path | None, wanted: Wanted) -> None:
    """Write schema, service, training and entries of a version, and print what to do next.

    Without an experiments file it is not routed to. Nothing is written unless all of it can be. Raises
    EkibenError.
    """
    _check(wanted)
    if not (root / FILE).is_file():
        raise EkibenError(
            f"there is no {FILE} in {root}: run this in a project's folder (`ekiben init` makes one)"
        )
    listed = read_models(root)
    model, version = wanted.model, wanted.version
    if model in listed and version in listed[model].versions:
        raise EkibenError(f"{FILE} has {model} {version} already: choose another version")
    made, schema = _made(root, wanted, model in listed)
    for file in made:
        if file.exists():
            raise EkibenError(f"{file} is there already, and nothing is written over it")
    edited = _edited(root, experiments_file, listed, wanted)

    for file, (text, _) in made.items():
        for folder in (file.parent.parent, file.parent):
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    for file, (text, _) in edited.items():
        file.write_text(text, encoding="utf-8")
    console.print("Written")
    for file, (_, what) in (made | edited).items():
        shown = file.relative_to(root) if file.is_relative_to(root) else file
        console.print(f"  {shown!s:32}  {what}", soft_wrap=True)
    _show_next(console, wanted, schema, first=model not in listed)


def _made(root: Path, wanted: Wanted, known: bool) -> tuple[dict[Path, tuple[str, str]], Schema]:
    """The files to write, each with its text and what it is, and the model's schema. Raises EkibenError."""
    model, version = wanted.model, wanted.version
    service_file = module_file(root, module_name(model, version))
    schema_file = service_file.with_name("schema.py")
    if known and schema_file.exists():
        if wanted.features:
            raise UsageError(
                f"--features: {model} has its features in {schema_file} already; every version takes the same"
            )
        schema = read_schema(schema_file.read_text(encoding="utf-8"), str(schema_file))
        return {service_file: (service_module(model, version, schema), "its BentoML service")}, schema
    if schema_file.exists():
        raise EkibenError(f"{schema_file} is there already and no model {model} is: choose another name")
    schema = new_schema(model, wanted.features)
    text = schema_module(model, schema, wanted.kind, wanted.classes)
    script = training_module(model, version, schema, wanted.kind)
    return {
        schema_file: (text, "what it is asked and what it answers"),
        service_file: (service_module(model, version, schema), "its BentoML service"),
        root / "training" / model / "train.py": (script, "from a CSV file to a published version"),
    }, schema


def _edited(
    root: Path, experiments_file: Path | None, listed: Listed, wanted: Wanted
) -> dict[Path, tuple[str, str]]:
    """The files that get an entry: their new text, and what it is. Raises EkibenError."""
    model, version = wanted.model, wanted.version
    routed = read_routed(experiments_file) if experiments_file is not None else None
    document = routed.document if routed is not None else None
    if document is not None and model in document.models and version in document.models[model].versions:
        raise EkibenError(f"{experiments_file} has {model} {version} already: choose another version")
    port = next_port(document, listed)
    list_file = root / FILE
    kind = listed[model].kind if model in listed else wanted.kind
    text = with_listed(list_file.read_text(encoding="utf-8"), listed, model, version, kind, port)
    edited = {list_file: (text, f"{model} {version} on port {port}")}
    if experiments_file is not None:
        before = experiments_file.read_text(encoding="utf-8")
        text = with_version(before, document, model, version, port)
        edited[experiments_file] = (text, "where requests for it go")
    return edited


def _check(wanted: Wanted) -> None:
    for what, name in (("model", wanted.model), ("version", wanted.version)):
        if keyword.iskeyword(name):
            raise UsageError(f"the {what} {name!r} cannot be a module: Python has a use for it, use another")
        if not NAME.fullmatch(name):
            raise UsageError(f"the {what} {name!r} cannot be a module: use a-z, 0-9 and _, a letter first")
    if wanted.version == "schema":
        raise UsageError("the version 'schema' cannot be a module: the model's schema is, use another")
    _check_options(wanted)


def _check_options(wanted: Wanted) -> None:
    for option, names in (("--features", wanted.features), ("--classes", wanted.classes)):
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{option}: {name!r} is there twice: give each once")
    for name in wanted.features:
        if not _is_field(name):
            raise UsageError(f"--features: {name!r} cannot be the name of a field: use another")
    if wanted.kind is Kind.TEXT and len(wanted.features) > 1:
        raise UsageError("--features: a text model begins with one feature, the text; add others by hand")
    if wanted.classes and wanted.kind not in (Kind.TEXT, Kind.MULTICLASS):
        raise UsageError(f"--classes: a {wanted.kind} has none; give --kind multiclass or --kind text")
    if len(wanted.classes) == 1:
        raise UsageError("--classes: name two at least")


def _is_field(name: str) -> bool:
    good = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
    good = good and name not in (TARGET, *get_args(FeatureKind))  # makers of fields, in the same module
    return good and not name.startswith(("_", "model_")) and not hasattr(BaseModel, name)


def _show_next(console: Console, wanted: Wanted, schema: Schema, *, first: bool) -> None:
    model, version = wanted.model, wanted.version
    example = ", ".join(f'"{name}": …' for name in schema.fields)
    steps = [
        f"python training/{model}/train.py",
        "ekiben up",
        f"ekiben predict {model} --user u-1 --features '{{{example}}}'",
    ]
    if first:
        columns = ",".join((*schema.fields, TARGET))
        steps = [
            f"Describe the features in services/{model}/schema.py, and name the classes if there are some.",
            f"Put your data into training/{model}/data.csv, with the columns {columns}.",
            *steps,
        ]
    else:
        steps = [f"Add the function {version} to training/{model}/train.py and to VERSIONS there.", *steps]
    console.print("\nNext")
    for number, step in enumerate(steps, start=1):
        console.print(f"  {number}. {step}", soft_wrap=True)
