"""Endpoints that are not Ekiben's: `ekiben up` looks at them, and starts none."""

from __future__ import annotations

import asyncio

from ekiben.experiments.parsing import parse_document
from ekiben.up.foreign import unanswered
from tests.ports import free_port


async def test_an_endpoint_with_a_dialect_where_nobody_listens_is_named_and_others_are_not() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    there, nobody = server.sockets[0].getsockname()[1], free_port()
    dialect = {"kind": "bentoml", "path": "/classify"}
    document = parse_document(
        {
            "models": {
                "m": {
                    "live": "v1",
                    "versions": {
                        "v1": {"endpoints": [f"http://127.0.0.1:{there}"], "dialect": dialect},
                        "v2": {"endpoints": [f"http://127.0.0.1:{nobody}"], "dialect": dialect},
                        "v3": {"endpoints": [f"http://localhost:{nobody}"]},
                    },
                }
            }
        }
    )
    async with server:
        (line,) = (await unanswered(document)).values()
    assert line == f"m v2: nobody listens at http://127.0.0.1:{nobody}; start it (it has a dialect)"
