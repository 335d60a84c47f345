"""Which streams are recorded, and which kinds of events each of them may bring."""

from __future__ import annotations

from typing import Final, NamedTuple

from ekiben.control.recording.ranges import GENERATION
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM
from ekiben.state.streams.former import FORMER_EXPOSURES_STREAM, FORMER_OUTCOMES_STREAM


class Stream(NamedTuple):
    """A stream in Redis. Within a generation a kind comes by one stream only: its files are named by that."""

    key: str
    generation: int
    kinds: tuple[str, ...]


STREAMS: Final = (
    Stream(EVENTS_STREAM, GENERATION, ("exposure", "prediction", "shadow")),
    Stream(OUTCOMES_STREAM, GENERATION, ("outcome",)),
    # Of 30e8d9b: its routers may still run. They are looked at where they are, and never made.
    Stream(FORMER_EXPOSURES_STREAM, 1, ("exposure", "prediction", "shadow")),
    Stream(FORMER_OUTCOMES_STREAM, 1, ("outcome",)),
)
