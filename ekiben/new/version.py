"""`ekiben new`: the files of a new version, written once and never over others."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from ekiben.clients.document import read_routed
from ekiben.new.entry import next_port, with_listed, with_version
from ekiben.new.template import Schema, new_schema, read_schema, schema_module, service_module
from ekiben.project.models import FILE, Listed, module_file, read_models
from ekiben.project.names import module_name
from ekiben.terminal.errors import EkibenError, UsageError

NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_new(
    console: Console,
    root: Path,
    experiments_file: Path | None,
    model: str,
    version: str,
    kind: str,
    features: Sequence[str],
) -> None:
    """Write schema, service and entries of a version, and print what to do next.

    Without an experiments file it is not routed to. Nothing is written unless all of it can be. Raises
    EkibenError.
    """
    _check_names(model, version, features)
    if not (root / FILE).is_file():
        raise EkibenError(
            f"there is no {FILE} in {root}: run this in a project's folder (`ekiben init` makes one)"
        )
    listed = read_models(root)
    known = listed.get(model)
    if known is not None and version in known.versions:
        raise EkibenError(f"{FILE} has {model} {version} already: choose another version")
    service_file = module_file(root, module_name(model, version))
    schema_file = service_file.with_name("schema.py")
    schema, schema_text = _schema(schema_file, model, kind, features, known is not None)
    made = {service_file: (service_module(model, version, schema), "its BentoML service")}
    if schema_text is not None:
        made = {schema_file: (schema_text, "what it is asked and what it answers"), **made}
    for file in made:
        if file.exists():
            raise EkibenError(f"{file} is there already, and nothing is written over it")
    edited = _edited(root, experiments_file, listed, model, version, kind)

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
    _show_next(console, model, version, schema, describe=schema_text is not None)


def _edited(
    root: Path, experiments_file: Path | None, listed: Listed, model: str, version: str, kind: str
) -> dict[Path, tuple[str, str]]:
    """The files that get an entry: their new text, and what it is. Raises EkibenError."""
    routed = read_routed(experiments_file) if experiments_file is not None else None
    document = routed.document if routed is not None else None
    if document is not None and model in document.models and version in document.models[model].versions:
        raise EkibenError(f"{experiments_file} has {model} {version} already: choose another version")
    port = next_port(document, listed)
    list_file = root / FILE
    text = with_listed(list_file.read_text(encoding="utf-8"), listed, model, version, kind, port)
    edited = {list_file: (text, f"{model} {version} on port {port}")}
    if experiments_file is not None:
        before = experiments_file.read_text(encoding="utf-8")
        text = with_version(before, document, model, version, port)
        edited[experiments_file] = (text, "where requests for it go")
    return edited


def _schema(
    file: Path, model: str, kind: str, features: Sequence[str], known: bool
) -> tuple[Schema, str | None]:
    """The schema's names, and its text when it has to be written."""
    if not file.exists():
        schema = new_schema(model, kind, features)
        return schema, schema_module(model, schema)
    if not known:
        raise EkibenError(f"{file} is there already and no model {model} is: choose another name")
    if features:
        raise UsageError(
            f"--features: {model} has its features in {file} already; every version takes the same"
        )
    return read_schema(file.read_text(encoding="utf-8"), str(file)), None


def _check_names(model: str, version: str, features: Sequence[str]) -> None:
    for what, name in (("model", model), ("version", version)):
        if keyword.iskeyword(name):
            raise UsageError(f"the {what} {name!r} cannot be a module: Python has a use for it, use another")
        if not NAME.fullmatch(name):
            raise UsageError(f"the {what} {name!r} cannot be a module: use a-z, 0-9 and _, a letter first")
    if version == "schema":
        raise UsageError("the version 'schema' cannot be a module: the model's schema is, use another")
    for name in features:
        if features.count(name) > 1:
            raise UsageError(f"--features: {name!r} is there twice: give each feature once")
        if not _is_field(name):
            raise UsageError(f"--features: {name!r} cannot be the name of a field: use another")


def _is_field(name: str) -> bool:
    good = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
    return good and not name.startswith(("_", "model_")) and not hasattr(BaseModel, name)


def _show_next(console: Console, model: str, version: str, schema: Schema, *, describe: bool) -> None:
    example = ", ".join(f'"{name}": …' for name in schema.fields)
    steps = [
        f"""Train a scikit-learn model on columns of these names, and publish it:
       from services.{model}.schema import {schema.features}
       from ekiben.publishing import ModelCard, publish_sklearn
       card = ModelCard(name="{model}", version="{version}", features={schema.features}, target="…",
                        kind="{schema.kind}")
       publish_sklearn(model, card, held_out=(rows, targets))""",
        "ekiben up --no-demo",
        f"ekiben predict {model} --user u-1 --features '{{{example}}}'",
    ]
    if describe:
        steps.insert(0, f"Describe the features in services/{model}/schema.py: ranges, units, what they are.")
    console.print("\nNext")
    for number, step in enumerate(steps, start=1):
        console.print(f"  {number}. {step}", soft_wrap=True)
