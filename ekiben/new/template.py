"""The modules that `ekiben new` writes: a model's schema, and a version's service."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from ekiben.new.names import class_name
from ekiben.terminal.errors import EkibenError

PLACEHOLDER = "example"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model's schema module has beside `OUTPUT`: two classes, the fields of the first, the task."""

    features: str
    prediction: str
    fields: tuple[str, ...]
    kind: str


_HEAD = '''"""The model `$model`: what every version of it is asked, and what it answers."""

from __future__ import annotations

$imports


class $features(Features):
    """One row. A line for each feature: lowest value, highest value, unit, what it is.

    A feature that is text is written `name: str = category("what it is")`; where a value may be missing, the
    type is `float | None` or `str | None` and the line ends with `missing=True`.
    """

$fields


class $prediction(BaseModel):
    """The answer for one row."""

    model_config = ConfigDict(frozen=True)

'''

_REGRESSION = """    value: float = Field(description="the predicted value")


OUTPUT: Final = value_output($prediction, "value")
"""

_CLASSIFICATION = '''    probability: float = Field(ge=0, le=1, description="how likely the answer is yes")
    decision: Literal["yes", "no"] = Field(description=f"yes from a probability of {THRESHOLD}")


def answers(scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The answers for the probabilities in `scores` (one each, 0 to 1)."""
    return [
        {"probability": score, "decision": "yes" if score >= THRESHOLD else "no"} for score in scores.tolist()
    ]


OUTPUT: Final = Output($prediction, answers, score="probability", decision="decision", positive="yes")
'''

_IMPORTS = {
    "regression": """from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from ekiben.serving.features import Features, number
from ekiben.serving.output import value_output""",
    "classification": """from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ekiben.serving.features import Features, number
from ekiben.serving.output import Output

THRESHOLD: Final = 0.5""",
}

_SERVICE = '''"""Model service of $model $version."""

from __future__ import annotations

$imports

door = Door("${model}_$version", $features, OUTPUT, load_onnx)
$service = service(door)
'''


def new_schema(model: str, kind: str, fields: Sequence[str]) -> Schema:
    """What `schema_module` writes for a model with these features, with one placeholder for none."""
    stem = class_name(model, "")
    return Schema(f"{stem}Features", f"{stem}Prediction", tuple(fields) or (PLACEHOLDER,), kind)


def schema_module(model: str, schema: Schema) -> str:
    """The text of services/MODEL/schema.py: numbers of any size until somebody describes them."""
    body = _HEAD + (_REGRESSION if schema.kind == "regression" else _CLASSIFICATION)
    return Template(body).substitute(
        model=model,
        imports=_IMPORTS[schema.kind],
        features=schema.features,
        prediction=schema.prediction,
        fields="\n".join(
            f'    {name}: float = number(-1e9, 1e9, "unit", "what it is")' for name in schema.fields
        ),
    )


def service_module(model: str, version: str, schema: Schema) -> str:
    """The text of services/MODEL/VERSION.py."""
    imports = {
        f"services.{model}.schema": f"OUTPUT, {schema.features}",
        "ekiben.serving.door": "Door",
        "ekiben.serving.onnx_model": "load_onnx",
        "ekiben.serving.bento_service": "service",
    }
    return Template(_SERVICE).substitute(
        model=model,
        version=version,
        service=class_name(model, version),
        features=schema.features,
        imports="\n".join(f"from {module} import {names}" for module, names in sorted(imports.items())),
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
    if "Features" not in classes or "BaseModel" not in classes or "OUTPUT" not in values:
        raise EkibenError(
            f"{where} is not a model's schema: it needs a class of Features, a class of BaseModel and "
            "OUTPUT, as services/credit/schema.py has them"
        )
    features = classes["Features"]
    fields = tuple(
        node.target.id
        for node in features.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )
    made_by = getattr(getattr(values["OUTPUT"], "func", None), "id", "")
    kind = "regression" if made_by == "value_output" else "classification"
    return Schema(features.name, classes["BaseModel"].name, fields, kind)
