"""What the author of a model says of it when it is published."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final, Literal, get_args

from ekiben.publishing.errors import PublishingError
from ekiben.serving.features import Features, kinds
from ekiben.serving.features import Kind as FeatureKind

Kind = Literal["regression", "classification", "multiclass"]

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,60}[a-z0-9])?")
_TEXTS: Final = ("target", "data_digest", "owner", "intended_use", "limits")
_MOST: Final = 63  # of a name in BentoML's store


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A version, and what is to be known of it.

    `features` are what it is asked with, `target` says in words what it predicts. Its `kind` is

    - `regression`: a value, or several. `names` then names these, in the order of the model's columns.
    - `classification`: the probability of one of two classes. `positive` is that class. Without it, it is 1
      of the classes 0 and 1. From a probability of `threshold` on, metrics count a row as positive.
    - `multiclass`: the probability of each class. `classes` are their names in the order of the model's
      columns. A scikit-learn model knows its classes by itself.

    `data_digest` stands for the data that it was trained on (`frame_digest`). Without it, it stands for the
    held-out rows and targets. `more_metrics` are stored beside those that publishing measures. `owner`,
    `intended_use` and `limits` are texts for people, which `/model/info` answers.

    Raises `PublishingError` for what cannot be published under such a card.
    """

    name: str
    version: str
    features: type[Features]
    target: str
    kind: Kind
    positive: Any = None
    classes: Sequence[Any] = ()
    names: Sequence[str] = ()
    threshold: float = 0.5
    data_digest: str = ""
    more_metrics: Mapping[str, float] = field(default_factory=dict)
    owner: str = ""
    intended_use: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        for what in ("classes", "names"):  # arrays and indexes of pandas too
            if isinstance(given := getattr(self, what), Iterable) and not isinstance(given, str):
                object.__setattr__(self, what, tuple(given))
        for what, given in (("name", self.name), ("version", self.version)):
            if not isinstance(given, str) or not _NAME.fullmatch(given):
                raise PublishingError(
                    f"the {what} {given!r} must be made of a-z, 0-9, _, . and -: choose another"
                )
        if len(self.stored_name) > _MOST:
            raise PublishingError(
                f"{self.stored_name} is longer than {_MOST} characters: choose a shorter name"
            )
        if problem := self._problem():
            raise self.refused(problem)

    def _problem(self) -> str | None:
        if self.kind not in get_args(Kind):
            return f"kind must be one of {', '.join(get_args(Kind))}, not {self.kind!r}"
        if not (isinstance(self.features, type) and issubclass(self.features, Features)):
            return f"features must be a class of Features, not {self.features!r}"
        for what in _TEXTS:
            if not isinstance(given := getattr(self, what), str):
                return f"{what} must be a text, not {given!r}"
        if not _is_number(self.threshold) or not 0 <= self.threshold <= 1:
            return f"threshold is a probability from 0 to 1, not {self.threshold!r}"
        for name, value in self.more_metrics.items():
            if not _is_number(value):
                return f"more_metrics must be finite numbers, and {name} is {value!r}: leave it out"
        try:
            kinds(self.features)
        except TypeError as error:
            return str(error)
        return self._problem_of_columns()

    def _problem_of_columns(self) -> str | None:
        for what, kind in (
            ("classes", "multiclass"),
            ("names", "regression"),
            ("positive", "classification"),
        ):
            given = getattr(self, what)
            if kind != self.kind and given is not None and given != ():
                return f'{what} is for kind="{kind}", and the kind is "{self.kind}": leave it out'
        for what, given in (("classes", self.classes), ("names", self.names)):
            if not isinstance(given, tuple) or len(set(map(str, given))) < len(given) or len(given) == 1:
                return f"{what} must be at least two different ones, not {given!r}"
        return None

    def refused(self, why: str) -> PublishingError:
        """The error that says why this version is not published."""
        return PublishingError(f"{self.label}: {why}")

    @property
    def label(self) -> str:
        """The version in messages."""
        return f"{self.name} {self.version}"

    @property
    def stored_name(self) -> str:
        """The name in BentoML's store."""
        return f"{self.name}_{self.version}"

    @property
    def fields(self) -> Mapping[str, FeatureKind]:
        """Each feature, in order, and its kind."""
        return kinds(self.features)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
