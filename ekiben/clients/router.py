"""Asking a running router, and telling in one line what it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ekiben.clients.http import NoAnswer, ask
from ekiben.terminal.errors import EkibenError

TIMEOUT_S = 10.0


class RouterClient:
    """A router at an http(s) address, asked with `headers` besides its own.

    Every method raises EkibenError when there is no good answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}

    def health(self) -> dict[str, Any]:
        """GET /healthz, also of a router that is not ready."""
        return self._ask("/healthz", also=(503,))

    def models(self) -> list[dict[str, Any]]:
        """GET /models."""
        models: list[dict[str, Any]] = self._ask("/models")["models"]
        return models

    def model(self, name: str) -> dict[str, Any]:
        """GET /models/{name}."""
        return self._ask(f"/models/{quote(name, safe='')}")

    def predict(self, model: str, user: str | None, features: dict[str, Any]) -> dict[str, Any]:
        """POST /predict/{model}."""
        body = {"features": features} if user is None else {"user_id": user, "features": features}
        return self._ask(f"/predict/{quote(model, safe='')}", body)

    def _ask(self, path: str, body: Any = None, also: tuple[int, ...] = ()) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = ask(self.url + path, data, self._headers, TIMEOUT_S)
        except NoAnswer as error:
            raise EkibenError(
                f"no router answers at {self.url} ({error}): start one with `ekiben up`, "
                "or name another with EKIBEN_ROUTER_URL"
            ) from None
        if answer.status not in (200, *also):
            raise EkibenError(refusal_line(answer.status, answer.content))
        return _object(answer.content, self.url)


def _object(content: bytes, url: str) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise EkibenError(
            f"what answers at {url} is no Ekiben router: name the right one with EKIBEN_ROUTER_URL"
        )
    return answer


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
