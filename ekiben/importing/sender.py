"""Sending outcomes to a router until they are on its disk, however often that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ekiben.client import Client, ClientError, NoAnswer, Outcome, Refused, Unavailable, Wrong
from ekiben.terminal.errors import EkibenError

MAX_OUTCOMES: Final = 1000
MAX_BYTES: Final = 512 * 1024
PATIENCE_S: Final = 120.0

Numbered = tuple[int, dict[str, Any]]
"""An outcome, and the number of the line that it comes from."""

Rejected = Callable[[int, str], None]
"""Called for an outcome that the router refuses, with its number and why."""


class OutcomeSender:
    """Sends outcomes through a client, for as long as its patience lasts without progress.

    Raises EkibenError then, and `ClientError` where the router refuses them as a whole. Making one raises
    `NoAnswer` where nobody listens: for a router that is not there nobody has to wait.
    """

    def __init__(self, router: Client) -> None:
        self._router = router
        self.accepted = 0
        try:
            router.get("/livez")
        except NoAnswer as error:
            if error.refused:
                raise
        except ClientError:
            pass  # an ingress may not show this page

    def send(self, items: Sequence[Numbered], rejected: Rejected) -> None:
        """Return when all of them are on disk, but for those that were refused by name."""
        if not items:
            return
        try:
            self._router.outcomes([Outcome(**outcome) for _, outcome in items])
            self.accepted += len(items)
        except Refused as error:
            if error.status == 413 and len(items) > 1:
                middle = len(items) // 2
                self.send(items[:middle], rejected)
                self.send(items[middle:], rejected)
            elif error.status == 413:
                rejected(items[0][0], "more bytes than the router takes")
            elif bad := _named(error.errors, len(items)):
                for place, why in sorted(bad.items()):
                    rejected(items[place][0], why)
                self.send([item for place, item in enumerate(items) if place not in bad], rejected)
            else:
                raise
        except (NoAnswer, Unavailable) as error:
            raise EkibenError(
                f"the router at {self._router.url} takes no outcomes ({error}): run the import again later; "
                "what it has taken counts once"
            ) from None


def _named(errors: Sequence[Wrong], count: int) -> dict[int, str]:
    """What errors say of which outcome; nothing where they speak of the request as a whole."""
    named: dict[int, str] = {}
    for loc, msg in errors:
        place = loc[1] if len(loc) > 1 else None
        if isinstance(place, int) and 0 <= place < count:
            why = ": ".join([*map(str, loc[2:]), msg])
            named[place] = f"{named[place]}; {why}" if place in named else why
    return named
