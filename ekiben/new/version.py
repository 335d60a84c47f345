"""`ekiben new`: the files of a new version, written once and never over others."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from ekiben.clients.document import read_document
from ekiben.new.entry import next_port, with_version
from ekiben.new.names import module_file
from ekiben.new.template import Schema, new_schema, read_schema, schema_module, service_module
from ekiben.terminal.errors import EkibenError, UsageError

NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_new(
    console: Console,
    root: Path,
    experiments_file: Path,
    model: str,
    version: str,
    kind: str,
    features: Sequence[str],
) -> None:
    """Write schema, service and entry of a version, and print what to do next.

    Nothing is written unless all of it can be. Raises EkibenError.
    """
    _check_names(model, version, features)
    document = read_document(experiments_file).document
    known = document.models.get(model)
    if known is not None and version in known.versions:
        raise EkibenError(f"{experiments_file} has {model} {version} already: choose another version")
    if not (root / "services").is_dir():
        raise EkibenError(f"there is no folder services in {root}: run this where Ekiben's repository is")
    service_file = module_file(root, model, version)
    schema_file = service_file.with_name("schema.py")
    if service_file.exists():
        raise EkibenError(f"{service_file} is there already, and nothing is written over it")
    schema, schema_text = _schema(schema_file, model, kind, features, known is not None)
    port = next_port(document)
    entry_text = with_version(experiments_file.read_text(encoding="utf-8"), model, version, port)

    written = {service_file: "its BentoML service", experiments_file: f"{model} {version} on port {port}"}
    if schema_text is not None:
        written = {schema_file: "what it is asked and what it answers", **written}
        schema_file.parent.mkdir(exist_ok=True)
        schema_file.with_name("__init__.py").touch()
        _write_new(schema_file, schema_text)
    _write_new(service_file, service_module(model, version, schema))
    experiments_file.write_text(entry_text, encoding="utf-8")
    console.print("Written")
    for file, what in written.items():
        shown = file.relative_to(root) if file.is_relative_to(root) else file
        console.print(f"  {shown!s:32}  {what}", soft_wrap=True)
    _show_next(console, model, version, schema, describe=schema_text is not None)


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


def _write_new(file: Path, text: str) -> None:
    with file.open("x", encoding="utf-8") as new:
        new.write(text)


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
