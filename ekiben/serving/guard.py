"""In front of `/predict`: what BentoML would take too kindly, or refuse without naming the field."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ekiben.serving.body import (
    MAX_DEPTH,
    BodyRefused,
    ClientGone,
    check_count,
    is_deeper_than,
    parse,
    read_body,
)
from ekiben.serving.rows import RowChecker


class Guard:
    """Refuses a bad `POST /predict` as problem+json and hands a good one on, its body already read.

    400: not strict JSON, or nested deeper than 64. 413: over 8 MiB or 10,000 instances. 415: not declared as
    JSON, so that no pickle, form or file reaches BentoML. 422: an instance is not valid; the errors name the
    field.
    """

    def __init__(self, app: ASGIApp, rows: RowChecker) -> None:
        self._app = app
        self._rows = rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/predict":
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive)
            self._check(parse(body))
        except ClientGone:
            return
        except BodyRefused as refused:
            await refused.answer(send)
            return
        given = False

        async def receive_read() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_read, send)

    def _check(self, data: Any) -> None:
        if type(data) is not dict:
            raise BodyRefused(400, 'the body must be an object: {"instances": […]}')
        errors: list[dict[str, Any]] = []
        instances = data.get("instances")
        if type(instances) is not list:
            errors = [{"loc": ["instances"], "msg": "an array of instances is required"}]
        elif len(data) > 1:
            errors = [{"loc": [], "msg": "the body has no field but instances"}]
        else:
            check_count(instances)
            found = self._rows.first_errors(instances)
            errors = [{**error, "loc": ["instances", *error["loc"]]} for error in found]
        if errors:
            # A valid body is flat; only an invalid one has to be looked at for its depth.
            if is_deeper_than(data, MAX_DEPTH):
                raise BodyRefused(400, f"nested deeper than {MAX_DEPTH}")
            raise BodyRefused(422, "the instances are not valid", errors)
