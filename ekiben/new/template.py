"""The modules that `ekiben new` writes: a model's schema, a version's service, and the training."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from ekiben.project.names import Kind, class_name
from ekiben.terminal.errors import EkibenError

PLACEHOLDER: Final = "example"
TARGET: Final = "target"
"""The column of what is predicted, in the data of a training."""
CLASSES: Final = ("a", "b", "c")
"""Of several classes, while nobody has named any."""

_TRAINING: Final = Path(__file__).parent / "training.txt"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model's schema module has beside `OUTPUT`: the class of the features, and its fields."""

    features: str
    fields: tuple[str, ...]


_SCHEMA = '''"""The model `$model`: what every version of it is asked, and what it answers."""

from __future__ import annotations

from typing import Final

from ekiben.serving.features import Features, $made_with
from ekiben.serving.output import $made_by


class $features(Features):
    """One row. $about"""

$fields


OUTPUT: Final = $output
'''

_NUMBERS = """A line for each feature: lowest value, highest value, unit, what it is.

    A category is `name: str = category("what it is")`. Where a value may be missing, the type is
    `float | None` or `str | None`, and the line ends with `missing=True`.
    """
_TEXTS = "A line for each feature: what it is."

_SERVICE = '''"""Model service of $model $version."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.$model.schema import OUTPUT, $features

$service = version("${model}_$version", $features, OUTPUT)
'''


def new_schema(model: str, fields: Sequence[str]) -> Schema:
    """What `schema_module` writes for a model with these features, with one placeholder for none."""
    return Schema(f"{class_name(model, '')}Features", tuple(fields) or (PLACEHOLDER,))


def schema_module(model: str, schema: Schema, kind: Kind, classes: Sequence[str]) -> str:
    """The text of services/MODEL/schema.py: texts, or numbers of any size until somebody describes them.

    `classes` are the names of several classes, in any order.
    """
    if kind is Kind.TEXT:
        made_with, about, field = "text", _TEXTS, '    {}: str = text("what it is")'
    else:
        made_with, about, field = (
            "number",
            _NUMBERS,
            '    {}: float = number(-1e9, 1e9, "unit", "what it is")',
        )
    output = _output(kind, classes)
    return Template(_SCHEMA).substitute(
        model=model,
        made_with=made_with,
        made_by=output.partition("(")[0],
        output=output,
        features=schema.features,
        about=about,
        fields="\n".join(field.format(name) for name in schema.fields),
    )


def service_module(model: str, version: str, schema: Schema) -> str:
    """The text of services/MODEL/VERSION.py."""
    return Template(_SERVICE).substitute(
        model=model, version=version, service=class_name(model, version), features=schema.features
    )


@dataclass(frozen=True, slots=True)
class _Training:
    """What differs between kinds in a training script."""

    imports: str
    kind: str
    target: str
    pipeline: str
    fitted: str = "train_rows"


def _boosting(kind: str, target: str, model: str) -> _Training:
    imports = f"from sklearn.ensemble import {model}\nfrom sklearn.impute import SimpleImputer"
    return _Training(imports, kind, target, f"make_pipeline(SimpleImputer(), {model}(random_state=1))")


_TRAININGS: Final = {
    Kind.REGRESSION: _boosting("regression", "what is predicted, in which unit", "GradientBoostingRegressor"),
    Kind.CLASSIFICATION: _boosting("classification", "what 1 means", "GradientBoostingClassifier"),
    Kind.MULTICLASS: _boosting("multiclass", "what the classes are", "GradientBoostingClassifier"),
    Kind.TEXT: _Training(
        "from sklearn.feature_extraction.text import TfidfVectorizer\n"
        "from sklearn.linear_model import LogisticRegression",
        "multiclass",
        "what the classes are",
        "make_pipeline(TfidfVectorizer(), LogisticRegression())",
        'train_rows["$column"]',
    ),
}


def training_module(model: str, version: str, schema: Schema, kind: Kind) -> str:
    """The text of training/MODEL/train.py: from a CSV file with a column `target` to a published version."""
    told = {name: str(getattr(_TRAININGS[kind], name)) for name in _Training.__slots__}
    told["fitted"] = Template(told["fitted"]).substitute(column=schema.fields[0])
    return Template(_TRAINING.read_text(encoding="utf-8")).substitute(
        told,
        model=model,
        version=version,
        features=schema.features,
        columns="[" + ", ".join(f'"{name}"' for name in schema.fields) + "]",
        names=", ".join((*schema.fields, TARGET)),
    )


def read_schema(source: str, where: str) -> Schema:
    """Find the class of the features in a schema module that is there already. Raises EkibenError."""
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
    targets = [
        target
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    if "Features" not in classes or "OUTPUT" not in {getattr(each, "id", "") for each in targets}:
        raise EkibenError(f"{where} is not a model's schema: it needs a class of Features, and OUTPUT")
    features = classes["Features"]
    fields = tuple(
        node.target.id
        for node in features.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )
    return Schema(features.name, fields)


def _output(kind: Kind, classes: Sequence[str]) -> str:
    if kind is Kind.REGRESSION:
        return "value_output()"
    if kind is Kind.CLASSIFICATION:
        return 'probability_output("yes", at_least="yes", below="no", threshold=0.5)'
    # scikit-learn has its classes in this order.
    named = ", ".join(f'"{name}"' for name in sorted(classes or CLASSES))
    return f"classes_output([{named}])"
