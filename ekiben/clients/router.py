"""Asking a running router, and telling in one line what it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ekiben.clients.http import Server


class RouterClient:
    """A router at an http(s) address, asked with `headers` besides its own.

    Every method raises EkibenError when there is no good answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self._server = Server("router", url, "EKIBEN_ROUTER_URL", headers, refusal_line)

    def health(self) -> dict[str, Any]:
        """GET /healthz, also of a router that is not ready."""
        # A controller has this page too.
        return self._server.ask_object("/healthz", also=(503,), key="ready")

    def models(self) -> list[dict[str, Any]]:
        """GET /models."""
        return list(self._server.ask_object("/models", key="models")["models"])

    def model(self, name: str) -> dict[str, Any]:
        """GET /models/{name}."""
        return self._server.ask_object(f"/models/{quote(name, safe='')}")

    def predict(self, model: str, user: str | None, features: dict[str, Any]) -> dict[str, Any]:
        """POST /predict/{model}."""
        body = {"features": features} if user is None else {"user_id": user, "features": features}
        return self._server.ask_object(f"/predict/{quote(model, safe='')}", body)


def refusal_line(status: int, content: bytes) -> str:
    """Return a problem+json as one line."""
    try:
        problem = json.loads(content)
        line = f"{status}: {problem.get('detail') or problem['title']}"
        wrong = [f"{_place(each['loc'])}: {each['msg']}" for each in problem.get("errors", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the router answered {status}"
    return "; ".join([line, *wrong])


def _place(loc: Any) -> str:
    return ".".join(str(part) for part in loc) if isinstance(loc, list) else str(loc)
