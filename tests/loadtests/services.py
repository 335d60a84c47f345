"""Real HTTP services for load tests, one process, a port each: model versions, and a router that lies.

`python -m tests.loadtests.services PORT...` serves until it is ended: the services in the order of `NAMES`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn

NAMES: Final = ("v1", "v2", "slow", "crowd", "refuses", "liar")

Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Any, Send], Awaitable[None]]

OUTPUT: Final = {"score": "probability_bad", "positive": "bad", "decision": "decision"}


async def _read(receive: Any) -> Any:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return json.loads(body) if body else None


async def _answer(send: Send, status: int, body: Any, tag: str = "") -> None:
    headers = [(b"content-type", b"application/json"), (b"x-model-version", tag.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def version(name: str, delay_s: Callable[[int], float] = lambda rows: 0.0, refuses: bool = False) -> App:
    """A model version; a call of so many rows takes `delay_s` of them."""
    tag = f"{name}:1"

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        rows = await _read(receive)
        if scope["path"] == "/model/info":
            await _answer(send, 200, {"name": "credit", "model_version": tag, "output": OUTPUT}, tag)
            return
        await asyncio.sleep(delay_s(len(rows)))
        refusal = {"error": {"status": 422, "errors": [{"loc": ["age"], "msg": "refused"}]}}
        good = [
            {
                "ok": {
                    "probability_bad": row["age"] / 100,
                    "decision": "approve" if row["age"] < 50 else "decline",
                }
            }
            for row in rows
        ]
        await _answer(send, 200, [refusal for _ in rows] if refuses else good, tag)

    return app


def liar() -> App:
    """What a router must never do: users move from one version to the other. It takes outcomes, too."""
    turns = itertools.cycle(["v1", "v2"])
    outcomes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        body = await _read(receive)
        path, turn = scope["path"], next(turns)
        if path.startswith("/models/"):
            told = {"info": {"output": OUTPUT}}
            await _answer(send, 200, {"versions": {"v1": told, "v2": told}})
        elif path == "/outcomes" and scope["method"] == "GET":
            await _answer(send, 200, outcomes)
        elif path == "/outcomes":
            outcomes.extend(body["outcomes"])
            await _answer(send, 202, {})
        else:
            headers = dict(scope["headers"])
            answer = {
                "prediction": {"probability_bad": 0.1, "decision": "approve"},
                "model": "credit",
                "version": turn,
                "model_version": f"{turn}:1",
                "experiment": None,
                "variant": None,
                "prediction_id": f"p-{body['user_id']}-{turn}",
                "request_id": headers[b"x-request-id"].decode(),
                "cached": False,
            }
            await _answer(send, 200, answer)

    return app


_APPS: Final[dict[str, App]] = {
    "v1": version("credit_v1"),
    "v2": version("credit_v2"),
    "slow": version("slow_v1", lambda rows: 0.2),
    "crowd": version("crowd_v1", lambda rows: 2.5 if rows > 2 else 0.02),
    "refuses": version("refuses_v1", refuses=True),
    "liar": liar(),
}


async def main() -> None:
    """Serve all of them."""
    servers = [
        uvicorn.Server(uvicorn.Config(_APPS[name], port=int(port), lifespan="off", log_level="warning"))
        for name, port in zip(NAMES, sys.argv[1:], strict=True)
    ]
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
