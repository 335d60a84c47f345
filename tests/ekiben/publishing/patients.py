"""Patients to train on: scikit-learn's diabetes data, and a card for models of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd
from sklearn.datasets import load_diabetes

from ekiben.publishing import ModelCard
from ekiben.serving.features import Features, number


class Patient(Features):
    age: float = number(0, 120, "years", "age")
    bmi: float = number(10, 80, "kg/m²", "body mass index")
    bp: float = number(20, 250, "mmHg", "average blood pressure")


NAMES = list(Patient.model_fields)


@lru_cache
def _frame() -> pd.DataFrame:
    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return frame


def rows() -> pd.DataFrame:
    return _frame()[NAMES].copy()


def values() -> pd.Series[Any]:
    return _frame()["target"].copy()


def in_classes(*names: Any) -> pd.Series[Any]:
    """The target cut into as many classes of equal size as there are names."""
    return pd.qcut(_frame()["target"], len(names), labels=False).map(dict(enumerate(names)))


def card(**changes: Any) -> ModelCard:
    said: dict[str, Any] = {
        "name": "diabetes",
        "version": "v1",
        "features": Patient,
        "target": "progression after a year",
        "kind": "regression",
    }
    return ModelCard(**{**said, **changes})
