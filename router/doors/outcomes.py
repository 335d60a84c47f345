"""`POST /outcomes`: what happened after predictions, read strictly, taken whole or not at all."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import orjson

from ekiben.state.outcomes import BadOutcome, GivenOutcome, read_outcome
from router.doors.bodies import MAX_OUTCOMES, OutcomesAccepted
from router.doors.replies import answer_json
from router.errors import BodyTooLarge, OutcomesRefused, Overloaded, RouterError, StateAway
from router.http.asgi import Request
from router.http.costly import Steps, check_elements
from router.records.outcome_writer import ANSWER_S
from router.worker import Worker

_MAX_ERRORS: Final = 100
# An outcome with all of its fields has 16, and its texts may hold a few more.
MAX_ELEMENTS: Final = 40 * MAX_OUTCOMES
# Outcomes that are read without a pause, about a quarter of a millisecond.
_STEP: Final = 50
_REASONS: Final[dict[type[RouterError], str]] = {
    BodyTooLarge: "invalid",
    OutcomesRefused: "invalid",
    Overloaded: "full",
    StateAway: "unavailable",
}


async def take_outcomes(worker: Worker, request: Request) -> None:
    """Report what happened afterwards.

    All of the outcomes are taken, or none. 202 says that the state Redis has them on disk, and as many of its
    replicas as EKIBEN_STATE_REPLICAS asks for. After a 503, or without an answer, they may be there or not.
    Send them again with the same ids, and each counts once. The 503 says why where Redis has refused them or
    would lose them.
    """
    worker.web.note_proxy(request)
    try:
        body = await request.body(worker.max_body_bytes, worker.body_timeout_s)
        steps = read_in_steps(body, time.time(), request.key)
        outcomes = await worker.turns.read(body, steps, ANSWER_S)
        await worker.outcomes.write(outcomes)
    except tuple(_REASONS) as error:
        reason = next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        worker.metrics.outcomes_turned_away(reason)
        raise
    await answer_json(request, OutcomesAccepted(len(outcomes), request.id), 202)


def read_in_steps(body: bytes, now: float, sender: str | None = None) -> Steps[list[GivenOutcome]]:
    """Read the body; `now` (seconds since 1970) is the time of an outcome that tells none, and each `id` is
    one of `sender`'s own, the name of its API key (None without keys).

    Raises `BodyTooLarge`, and `OutcomesRefused` with the first `_MAX_ERRORS` things that are wrong, each with
    its place.
    """
    check_elements(body, MAX_ELEMENTS)
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
    outcomes: list[GivenOutcome] = []
    errors: list[dict[str, Any]] = []
    for place, item in enumerate(items):
        if place % _STEP == 0:
            yield
        try:
            outcome = read_outcome(item, now)
            if sender is not None and outcome.id is not None:
                outcome = msgspec.structs.replace(outcome, id=f"{sender}:{outcome.id}")
            outcomes.append(outcome)
        except BadOutcome as bad:
            errors += (
                _error(("outcomes", place, *([field] if field else [])), why) for field, why in bad.errors
            )
        # What nobody will be told is not looked for.
        if len(errors) >= _MAX_ERRORS:
            rest = [_error(("outcomes",), "these are the first errors: there may be more")]
            raise OutcomesRefused(errors[:_MAX_ERRORS] + rest)
    if errors:
        raise OutcomesRefused(errors)
    return outcomes


def _error(loc: tuple[str | int, ...], message: str) -> dict[str, Any]:
    return {"loc": list(loc), "msg": message}
