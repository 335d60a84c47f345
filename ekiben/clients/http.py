"""One JSON request of a command to a server of ours, and one line about what went wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekiben.process.http import client
from ekiben.process.http.client import Answer, NoAnswer, Redirected
from ekiben.terminal.errors import EkibenError, UsageError

USE_PROXY: Final = "EKIBEN_USE_PROXY"
JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


def ask(url: str, data: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """Send a GET, or with `data` a POST, through a proxy only where `EKIBEN_USE_PROXY` asks for it.

    Raises `NoAnswer`, EkibenError for a redirect, and UsageError.
    """
    asked = os.environ.get(USE_PROXY) or "no"
    if asked not in ("yes", "no"):
        raise UsageError(f"{USE_PROXY} must be yes or no, and is {asked!r}")
    try:
        return client.ask(url, data, headers, timeout_s, use_proxy=asked == "yes")
    except Redirected as error:
        raise EkibenError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ours: `what` it is, its address, the variable that names another one, headers to send,
    how a problem (RFC 9457) becomes lines, and the error to raise where nothing answers."""

    what: str
    url: str
    variable: str
    headers: Mapping[str, str]
    refusal: Callable[[int, bytes], str]
    absent: type[EkibenError] = EkibenError

    def ask(self, path: str, body: object = None, timeout_s: float = 10.0, also: Sequence[int] = ()) -> bytes:
        """GET, or with a `body` POST it as JSON, and return what is answered with 200 or a status of `also`.

        Raises EkibenError.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = ask(self.url + path, data, JSON | dict(self.headers), timeout_s)
        except NoAnswer as error:
            raise self.absent(
                f"no {self.what} answers at {self.url} ({error}): start one with `ekiben up`, "
                f"or name another with {self.variable}"
            ) from None
        if answer.status not in (200, *also):
            raise EkibenError(self.refusal(answer.status, answer.content))
        return answer.content

    def ask_object(
        self, path: str, body: object = None, timeout_s: float = 10.0, also: Sequence[int] = (), key: str = ""
    ) -> dict[str, Any]:
        """`ask`, where the answer is a JSON object, with this `key` where one is named."""
        try:
            answer = json.loads(self.ask(path, body, timeout_s, also))
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or (key and key not in answer):
            raise EkibenError(
                f"what answers at {self.url} is not an Ekiben {self.what}: "
                f"name the right one with {self.variable}"
            )
        return answer
