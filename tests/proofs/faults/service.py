"""A small model service that misbehaves when it is told to: `python -m tests.proofs.faults.service`.

`POST /misbehave` with the name of a way to fail as its body; an empty body is to behave again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson
import uvicorn

from tests.proofs.faults.answers import model_version, predict

SLOW_S: Final = 10.0
WAYS: Final = ("slow", "500", "garbage", "nonsense", "short", "cut")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ModelService:
    """The ASGI app of one endpoint of `version`."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._tag = model_version(version)
        self._way = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        body = await _read(receive)
        path = scope["path"]
        if path == "/misbehave":
            self._way = body.decode()
            await self._send(send, b"")
        elif path == "/model/info":
            output = {"score": "score", "decision": "decision"}
            info = {"model_version": self._tag, "output": output}
            await self._send(send, orjson.dumps(info))
        elif path == "/docs.json":  # as BentoML's own services tell what they are
            await self._send(send, orjson.dumps({"info": {"title": "credit", "version": self._tag}}))
        elif path == "/bulk":
            await self._bulk([{"ok": each} for each in self._predicted(orjson.loads(body))], send)
        elif path == "/classify":
            await self._bulk(self._predicted(orjson.loads(body)["rows"]), send)
        else:
            await self._send(send, b"no such page", 404)

    def _predicted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [predict(self._version, row) for row in rows]

    async def _bulk(self, items: list[dict[str, Any]], send: Send) -> None:
        match self._way:
            case "slow":
                await asyncio.sleep(SLOW_S)
                await self._send(send, orjson.dumps(items))
            case "500":
                await self._send(send, b"out of order", 500)
            case "garbage":
                await self._send(send, b"\x00\xff{[not json")
            case "nonsense":  # the right JSON, the wrong answers
                await self._send(
                    send, orjson.dumps([{"ok": {"score": "high"}, "score": "high"}] * len(items))
                )
            case "short":
                await self._send(send, orjson.dumps(items[1:]))
            case "cut":
                await self._send(send, orjson.dumps(items), cut=True)
            case _:
                await self._send(send, orjson.dumps(items))

    async def _send(self, send: Send, body: bytes, status: int = 200, cut: bool = False) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"x-model-version", self._tag.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if cut:
            # uvicorn closes the connection of an app that ends with its answer half sent.
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            return
        await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def main(service: type[ModelService] = ModelService) -> None:
    """`VERSION PORT [ADDRESS]`, on loopback unless told otherwise."""
    version, port, *address = sys.argv[1:]
    uvicorn.run(
        service(version),
        host=address[0] if address else "127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="critical",
    )


if __name__ == "__main__":
    main()
