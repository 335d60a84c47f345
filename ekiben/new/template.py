"""The modules that `ekiben new` writes: a model's schema, and a version's service."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from ekiben.project.names import class_name
from ekiben.terminal.errors import EkibenError

PLACEHOLDER = "example"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model's schema module has beside `OUTPUT`: the class of the features, its fields, the task."""

    features: str
    fields: tuple[str, ...]
    kind: str


_SCHEMA = '''"""The model `$model`: what every version of it is asked, and what it answers."""

from __future__ import annotations

from typing import Final

from ekiben.serving.features import Features, number
from ekiben.serving.output import $made_by


class $features(Features):
    """One row. A line for each feature: lowest value, highest value, unit, what it is.

    A feature that is text is written `name: str = category("what it is")`; where a value may be missing, the
    type is `float | None` or `str | None` and the line ends with `missing=True`.
    """

$fields


OUTPUT: Final = $output
'''

_OUTPUTS = {
    "regression": "value_output()",
    "classification": 'probability_output("yes", at_least="yes", below="no", threshold=0.5)',
}

_SERVICE = '''"""Model service of $model $version."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.$model.schema import OUTPUT, $features

$service = version("${model}_$version", $features, OUTPUT)
'''


def new_schema(model: str, kind: str, fields: Sequence[str]) -> Schema:
    """What `schema_module` writes for a model with these features, with one placeholder for none."""
    stem = class_name(model, "")
    return Schema(f"{stem}Features", tuple(fields) or (PLACEHOLDER,), kind)


def schema_module(model: str, schema: Schema) -> str:
    """The text of services/MODEL/schema.py: numbers of any size until somebody describes them."""
    return Template(_SCHEMA).substitute(
        model=model,
        made_by=_OUTPUTS[schema.kind].partition("(")[0],
        output=_OUTPUTS[schema.kind],
        features=schema.features,
        fields="\n".join(
            f'    {name}: float = number(-1e9, 1e9, "unit", "what it is")' for name in schema.fields
        ),
    )


def service_module(model: str, version: str, schema: Schema) -> str:
    """The text of services/MODEL/VERSION.py."""
    return Template(_SERVICE).substitute(
        model=model,
        version=version,
        service=class_name(model, version),
        features=schema.features,
    )


def read_schema(source: str, where: str) -> Schema:
    """Find the classes in a schema module that is there already. Raises EkibenError."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise EkibenError(f"{where}, line {error.lineno}: not Python: {error.msg}") from None
    classes = {
        base.id: node
        for node in body
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    values = {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    if "Features" not in classes or "OUTPUT" not in values:
        raise EkibenError(
            f"{where} is not a model's schema: it needs a class of Features and OUTPUT, as "
            "services/credit/schema.py has them"
        )
    features = classes["Features"]
    fields = tuple(
        node.target.id
        for node in features.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )
    made_by = getattr(getattr(values["OUTPUT"], "func", None), "id", "")
    kind = "regression" if made_by in ("value_output", "values_output") else "classification"
    return Schema(features.name, fields, kind)
