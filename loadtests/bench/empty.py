"""The floor: an app that does nothing, on the router's own server and settings (`router/__main__.py`).

python -m loadtests.bench.empty PORT
"""

from __future__ import annotations

import sys
from typing import Any, Final

import uvicorn

from router.http.server import SERVER_OPTIONS

_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
}
_BODY: Final = {"type": "http.response.body", "body": b"{}"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer `{}` to everything, without a look at the request."""
    await send(_START)
    await send(_BODY)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", **SERVER_OPTIONS)
