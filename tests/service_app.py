"""A small model service in a process of its own: `python -m tests.service_app VERSION PORT`.

It answers as `docs/architecture.md` says a model service does, without BentoML's start-up time. `POST /mode`
with one of `MODES` as the body makes it misbehave.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn

MODES = ("well", "slow", "error", "garbage", "short", "cut")


class ServiceApp:
    """One version; its score tells the versions apart."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.mode = "well"
        self.rows = 0

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        if scope["type"] != "http":
            return None
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/mode":
            self.mode = body.decode()
            return await self._answer(send, 200, {})
        if scope["path"] == "/model/info":
            output = {"score": "score", "decision": "decision"}
            return await self._answer(send, 200, {"model_version": self._tag(), "output": output})
        if scope["path"] != "/bulk":
            return await self._answer(send, 404, {})
        return await self._bulk(send, orjson.loads(body))

    def _tag(self) -> str:
        return f"credit_{self.version}:real"

    async def _bulk(self, send: Any, rows: list[dict[str, Any]]) -> None:
        if self.mode == "slow":
            await asyncio.sleep(30)
        if self.mode == "error":
            return await self._answer(send, 500, {})
        items = [self._predict(row) for row in rows]
        if self.mode == "garbage":
            return await self._answer(send, 200, "garbage")
        if self.mode == "short":
            items = items[1:]
        if self.mode == "cut":  # uvicorn closes the connection of an app that promised more
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"10000"), (b"x-model-version", self._tag().encode())],
                }
            )
            return await send({"type": "http.response.body", "body": b"[", "more_body": False})
        return await self._answer(send, 200, items)

    def _predict(self, row: dict[str, Any]) -> dict[str, Any]:
        if row.get("refuse"):
            return {"error": {"status": 422, "errors": [{"loc": ["refuse"], "msg": "not this one"}]}}
        return {"ok": {"row": row.get("row"), "score": 0.5, "decision": "yes", "by": self.version}}

    async def _answer(self, send: Any, status: int, data: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"x-model-version", self._tag().encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(data)})


if __name__ == "__main__":
    uvicorn.run(
        ServiceApp(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="error", lifespan="off"
    )
