"""What streams of event blocks hold, for tests and proofs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ekiben.state.streams.blocks import decode_block


def events_in(entries: Iterable[tuple[Any, dict[bytes, bytes]]]) -> list[Any]:
    """The events of these stream entries, in the order of the entries."""
    contents = [decode_block(fields) for _, fields in entries]
    return [event for content in contents for events in content.events.values() for event in events]
