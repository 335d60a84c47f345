"""`POST /outcomes`: what happened after predictions, read strictly, taken whole or not at all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import orjson

from router.asgi import Request, Send
from router.costly import Steps, at_once, check_elements, is_costly
from router.envelope import MAX_USER_ID_CHARS
from router.errors import BodyTooLarge, OutcomesRefused, Overloaded, StateAway
from router.outcome_writer import ANSWER_S, Outcome
from router.worker import Worker

MAX_OUTCOMES: Final = 1000
MAX_NAME_CHARS: Final = 100
MAX_ID_CHARS: Final = 128
MAX_VALUE: Final = 1e30
"""Beyond, sums of squares and what is computed of them leave floating point: one value would end a report."""
# Clocks differ; an outcome of tomorrow is a mistake.
_MAX_AHEAD_S: Final = 300.0
_MAX_ERRORS: Final = 100
# An outcome with all of its fields has 16, and its texts may hold a few more.
_MAX_ELEMENTS: Final = 40 * MAX_OUTCOMES
# Outcomes that are read without a pause, about a quarter of a millisecond.
_STEP: Final = 50

_JSON: Final = (b"content-type", b"application/json")
_FIELDS: Final = frozenset({"prediction_id", "user_id", "name", "value", "at", "id"})
_UNKNOWN: Final = "unknown field: an outcome has prediction_id, user_id, name, value, at, id"
Place = tuple[str | int, ...]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


async def take_outcomes(worker: Worker, request: Request, send: Send, sender: str | None) -> None:
    """Answer `POST /outcomes`: 202 when Redis has them on disk. Raises `RouterError`.

    `sender` is the name of the API key; None where there are no keys.
    """
    try:
        body = await request.body(worker.max_body_bytes, worker.body_timeout_s)
        steps = read_in_steps(body, time.time(), sender)
        if is_costly(body):
            outcomes = await worker.turns.run(steps, ANSWER_S)
        else:
            outcomes = at_once(steps)
        await worker.outcomes.write(outcomes)
    except (BodyTooLarge, OutcomesRefused):
        worker.metrics.outcomes_turned_away("invalid")
        raise
    except Overloaded:
        worker.metrics.outcomes_turned_away("full")
        raise
    except StateAway:
        worker.metrics.outcomes_turned_away("unavailable")
        raise
    reply = {"accepted": len(outcomes), "request_id": request.id}
    await request.respond(send, 202, (_JSON,), orjson.dumps(reply))


def read_outcomes(body: bytes, now: float) -> list[Outcome]:
    """`read_in_steps`, without a pause."""
    return at_once(read_in_steps(body, now))


def read_in_steps(body: bytes, now: float, sender: str | None = None) -> Steps[list[Outcome]]:
    """Read the body; `now` (seconds since 1970) is the time of an outcome that tells none, and each `id` is
    one of `sender`'s own.

    Raises `BodyTooLarge`, and `OutcomesRefused` with the first `_MAX_ERRORS` things that are wrong, each with
    its place.
    """
    check_elements(body, _MAX_ELEMENTS)
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise OutcomesRefused([_error((), f"the body is not strict JSON: {error}")]) from None
    if type(data) is not dict or data.keys() != {"outcomes"} or type(data["outcomes"]) is not list:
        raise OutcomesRefused([_error((), "the body must be an object with a list `outcomes` and no more")])
    items = data["outcomes"]
    if len(items) > MAX_OUTCOMES:
        raise OutcomesRefused(
            [_error(("outcomes",), f"at most {MAX_OUTCOMES} outcomes at once, not {len(items)}")]
        )
    outcomes: list[Outcome] = []
    errors: list[dict[str, Any]] = []
    for place, item in enumerate(items):
        if place % _STEP == 0:
            yield
        outcome = read_outcome(item, ("outcomes", place), now, errors)
        if outcome is not None:
            if sender is not None and outcome.id is not None:
                outcome = msgspec.structs.replace(outcome, id=f"{sender}:{outcome.id}")
            outcomes.append(outcome)
        # What nobody will be told is not looked for.
        if len(errors) >= _MAX_ERRORS:
            rest = [_error(("outcomes",), "these are the first errors: there may be more")]
            raise OutcomesRefused(errors[:_MAX_ERRORS] + rest)
    if errors:
        raise OutcomesRefused(errors)
    return outcomes


def _error(loc: Place, message: str) -> dict[str, Any]:
    return {"loc": list(loc), "msg": message}


def read_outcome(item: Any, place: Place, now: float, errors: list[dict[str, Any]]) -> Outcome | None:
    """One outcome, or None with what is wrong at which place added to `errors`."""
    before = len(errors)

    def wrong(field: str | None, message: str) -> None:
        errors.append(_error(place if field is None else (*place, field), message))

    if type(item) is not dict:
        wrong(None, "an outcome must be an object")
        return None
    if not item.keys() <= _FIELDS:
        unknown = next(field for field in item if field not in _FIELDS)
        wrong(unknown[:100], _UNKNOWN)
    if ("prediction_id" in item) == ("user_id" in item):
        wrong(None, "give either `prediction_id` or `user_id`")
    prediction_id = _text(item, "prediction_id", MAX_ID_CHARS, wrong)
    user_id = _text(item, "user_id", MAX_USER_ID_CHARS, wrong)
    if "name" not in item:
        wrong("name", "`name` is missing")
    name = _text(item, "name", MAX_NAME_CHARS, wrong)
    outcome_id = _text(item, "id", MAX_ID_CHARS, wrong)
    value = _value(item, wrong)
    at = _at(item, now, wrong)
    if len(errors) > before:
        return None
    assert name is not None
    return Outcome(prediction_id, user_id, name, value, at, outcome_id)


_Wrong = Callable[[str | None, str], None]


def _text(item: dict[str, Any], field: str, most: int, wrong: _Wrong) -> str | None:
    if field not in item:
        return None
    value = item[field]
    if type(value) is not str:
        wrong(field, "must be a string")
    elif not 0 < len(value) <= most:
        wrong(field, f"must have 1 to {most} characters")
    else:
        return value
    return None


def _value(item: dict[str, Any], wrong: _Wrong) -> float:
    if "value" not in item:
        wrong("value", "`value` is missing")
        return 0.0
    value = item["value"]
    # bool is an int in Python, and no number in JSON.
    if type(value) not in (int, float) or not abs(value) < math.inf:
        wrong("value", "must be a finite number")
        return 0.0
    if abs(value) > MAX_VALUE:
        wrong("value", f"must lie between {-MAX_VALUE:g} and {MAX_VALUE:g}")
        return 0.0
    return float(value)


def _at(item: dict[str, Any], now: float, wrong: _Wrong) -> float:
    if "at" not in item:
        return now
    text = item["at"]
    try:
        if type(text) is not str:
            raise ValueError
        at = msgspec.convert(text, _Time).timestamp()
    except (ValueError, OverflowError):
        wrong("at", "must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z")
        return now
    if at > now + _MAX_AHEAD_S:
        wrong("at", "lies more than 5 minutes in the future")
    return at
