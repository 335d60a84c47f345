"""A model service on which single rows fail: `python -m tests.proofs.attacks.service VERSION PORT`.

A row with `poison` fails in the versions that it lists as `in`. `raises` and `nan` take the whole call with
it: 500, as from a model that raises, or an answer with NaN, which is no JSON. `refused` is 422 for the row
alone, and `hangs` lets the call wait.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tests.proofs.faults.answers import predict
from tests.proofs.faults.service import ModelService, Send, main

_REFUSED = {"error": {"status": 422, "errors": [{"loc": ["poison"], "msg": "refused"}]}}


class PoisonedService(ModelService):
    """The ASGI app of one endpoint."""

    async def _bulk(self, rows: list[dict[str, Any]], send: Send) -> None:
        poison = [row.get("poison") if self._version in row.get("in", ()) else None for row in rows]
        if not any(poison):
            await super()._bulk(rows, send)
        elif "hangs" in poison:
            await asyncio.sleep(30.0)
        elif "raises" in poison:
            await self._send(send, b"the model raised", 500)
        else:
            items = [
                orjson.dumps(_REFUSED)
                if each == "refused"
                else b'{"ok":{"score":NaN,"decision":"approve"}}'
                if each == "nan"
                else orjson.dumps({"ok": predict(self._version, row)})
                for each, row in zip(poison, rows, strict=True)
            ]
            await self._send(send, b"[%b]" % b",".join(items))


class SharedTag(PoisonedService):
    """A version that calls itself 1.0, as another does."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self._tag = "1.0"


if __name__ == "__main__":
    main(PoisonedService)
