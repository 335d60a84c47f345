"""Sending outcomes to a router until they are on its disk, however often that takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekiben.clients.http import ask
from ekiben.clients.router import refusal_line
from ekiben.process.http.client import NoAnswer
from ekiben.terminal.errors import EkibenError

MAX_OUTCOMES: Final = 1000
MAX_BYTES: Final = 512 * 1024
PATIENCE_S: Final = 120.0
_TIMEOUT_S: Final = 30.0
_LONGEST_PAUSE_S: Final = 10.0
_LATER: Final = frozenset({429, 502, 503, 504})

Numbered = tuple[int, dict[str, Any]]
"""An outcome, and the number of the line that it comes from."""

Rejected = Callable[[int, str], None]
"""Called for an outcome that the router refuses, with its number and why."""


class OutcomeSender:
    """Outcomes to `url`/outcomes, with `headers` besides its own.

    They are sent again after 503, 429 and broken connections, with the same ids, until `patience_s` have
    passed without progress. Then, and when the router refuses them as a whole, EkibenError is raised.
    """

    def __init__(self, url: str, headers: Mapping[str, str], patience_s: float = PATIENCE_S) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", **headers}
        self._patience_s = patience_s
        self.accepted = 0

    def send(self, items: Sequence[Numbered], rejected: Rejected) -> None:
        """Return when all of them are on disk, but for those that were refused by name."""
        if not items:
            return
        status, problem = self._post_patiently([outcome for _, outcome in items])
        if status == 202:
            self.accepted += len(items)
        elif status == 413 and len(items) > 1:
            middle = len(items) // 2
            self.send(items[:middle], rejected)
            self.send(items[middle:], rejected)
        elif status == 413:
            rejected(items[0][0], "more bytes than the router takes")
        elif status == 400 and (bad := _named(problem, len(items))):
            for place, why in sorted(bad.items()):
                rejected(items[place][0], why)
            self.send([item for place, item in enumerate(items) if place not in bad], rejected)
        else:
            raise EkibenError(refusal_line(status, problem))

    def _post_patiently(self, outcomes: list[dict[str, Any]]) -> tuple[int, bytes]:
        body = json.dumps({"outcomes": outcomes}, ensure_ascii=False).encode()
        give_up = time.monotonic() + self._patience_s
        pause_s = 0.25
        while True:
            try:
                answer = ask(f"{self._url}/outcomes", body, self._headers, _TIMEOUT_S)
                if answer.status not in _LATER:
                    return answer.status, answer.content
                why, after_s = refusal_line(answer.status, answer.content), answer.retry_after_s
            except NoAnswer as error:
                if not self.accepted and error.refused:
                    raise EkibenError(
                        f"no router answers at {self._url} ({error}): start one with `ekiben up`, "
                        "or name another with EKIBEN_ROUTER_URL"
                    ) from None
                why, after_s = str(error), 0.0
            if time.monotonic() > give_up:
                raise EkibenError(
                    f"the router at {self._url} takes no outcomes ({why}): run the import again later; "
                    "what it has taken counts once"
                )
            time.sleep(min(max(after_s, pause_s), _LONGEST_PAUSE_S))
            pause_s *= 2


def _named(problem: bytes, count: int) -> dict[int, str]:
    """What a problem says of which outcome; nothing where it speaks of the request as a whole."""
    try:
        errors = json.loads(problem)["errors"]
        named: dict[int, str] = {}
        for each in errors:
            loc = each["loc"]
            if len(loc) > 1 and type(loc[1]) is int and 0 <= loc[1] < count:
                why = ": ".join([*map(str, loc[2:]), str(each["msg"])])
                named[loc[1]] = f"{named[loc[1]]}; {why}" if loc[1] in named else why
        return named
    except (ValueError, KeyError, TypeError):
        return {}
