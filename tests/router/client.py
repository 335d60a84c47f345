"""A client that calls the app in the process, as a server would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import orjson

from router.app import RouterApp


@dataclass(frozen=True)
class Response:
    """A whole response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """Sends requests to an app that has been started."""

    def __init__(self, app: RouterApp) -> None:
        self.app = app

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str | bytes] | None = None,
        *,
        leaves: bool = False,
        query: bytes | None = None,
    ) -> Response:
        """One request. A body in several parts is sent chunked; with `leaves` the client goes before its end.

        Asserts what ASGI asks of an app: one start, one whole body, the length that was promised.
        """
        path, _, asked = path.partition("?")
        given: dict[str, str | bytes] = {"host": "127.0.0.1"}
        if method == "POST":
            given["content-type"] = "application/json"
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        if isinstance(body, bytes):
            parts = [body]
            given.setdefault("content-length", str(len(body)))
        else:
            parts = list(body)
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": leaves or number < len(parts)}
            for number, part in enumerate(parts, start=1)
        ]
        incoming = iter(messages)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return next(incoming, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": asked.encode() if query is None else query,
            "headers": [
                (name.encode(), value if isinstance(value, bytes) else value.encode())
                for name, value in given.items()
            ],
        }
        await self.app(scope, receive, send)
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        start, end = sent
        assert not end.get("more_body", False)
        got = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        assert len(got) == len(start["headers"]), "a header twice"
        assert int(got["content-length"]) == len(end["body"])
        return Response(start["status"], got, end["body"])

    async def get(self, path: str, **headers: str) -> Response:
        return await self.request("GET", path, headers=_dashed(headers))

    async def post(self, path: str, body: bytes, **headers: str) -> Response:
        return await self.request("POST", path, body, _dashed(headers))

    async def predict(
        self, user_id: str | None, features: Mapping[str, Any], model: str = "credit", **headers: str
    ) -> Response:
        """`POST /predict/{model}`; keywords are headers, with `_` for `-`."""
        data: dict[str, Any] = {"features": features}
        if user_id is not None:
            data["user_id"] = user_id
        return await self.post(f"/predict/{model}", orjson.dumps(data), **headers)

    async def assignment(self, user_id: str, experiment: str = "credit-boosting") -> Response:
        return await self.get(f"/assignment/{quote(experiment)}?user_id={quote(user_id)}")


def _dashed(headers: Mapping[str, str]) -> dict[str, str | bytes]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
