"""What users do wrong, one function each: a model, what its card says, and what is held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from ekiben.publishing import PublishingError, publish_sklearn
from ekiben.serving.features import Features, category
from ekiben.serving.store import LatestModel
from tests.ekiben.publishing.patients import card, in_classes, rows, values

Case = tuple[Any, dict[str, Any], Any]  # a model, what its card says, the held-out rows and targets


class Cases(list[tuple[Callable[[], Case], str]]):
    """Functions that make a case, and the words that it is refused with."""

    def refused_with(self, words: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
        def note(case: Callable[[], Case]) -> Callable[[], Case]:
            self.append((case, words))
            return case

        return note

    def as_parameters(self) -> pytest.MarkDecorator:
        return pytest.mark.parametrize(("case", "words"), self, ids=[case.__name__ for case, _ in self])


def check_refused(case: Callable[[], Case], words: str) -> None:
    """It is one line with these words, and nothing is in the store."""
    model, said, held_out = case()
    with pytest.raises(PublishingError) as refused:
        publish_sklearn(model, card(**said), held_out)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert LatestModel("diabetes_v1").stored is None


class Shop(Features):
    shop: str = category("")


def regression() -> Any:
    return Ridge().fit(rows(), values())


def classifier(*names: Any) -> Any:
    return LogisticRegression(max_iter=5000).fit(rows(), in_classes(*names))
