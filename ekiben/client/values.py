"""What an application gets and gives: predictions and outcomes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The router's answer to a row.

    `prediction` is the model service's own answer. `version` gave it, and `model_version` is the exact tag.
    `experiment` and `variant` are None outside an experiment. Outcomes name the `prediction_id`, and the
    router's logs the `request_id`. `cached` says whether the answer was known already. `fallback_from` is the
    user's version where it failed and live answered in its place.
    """

    prediction: Any
    model: str
    version: str
    model_version: str
    experiment: str | None
    variant: str | None
    prediction_id: str
    request_id: str
    cached: bool
    fallback_from: str | None = None


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened after a prediction, or to a user: it names one of the two.

    `name` is what metrics ask for. `value` is finite. `at` is when it happened (a datetime with a time zone,
    or RFC 3339), and None is when the router takes it. Of two outcomes with one `id` the first counts. The id
    is made here unless one is given, so that an outcome which is sent twice counts once.
    """

    name: str
    value: float
    prediction_id: str | None = None
    user_id: str | None = None
    at: datetime | str | None = None
    id: str = field(default_factory=_new_id)
