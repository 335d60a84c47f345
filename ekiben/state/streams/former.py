"""Blocks as 30e8d9b wrote them, until 2026-11: arrays of 22 values, of which some meant another thing in
another kind. Its routers write them to streams of their own, which are read for as long as they are there.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ekiben.state.streams.events import Event, Exposure, Outcome, Prediction, ShadowAnswer

FORMER_EXPOSURES_STREAM: Final = "ekiben:exposures"
FORMER_OUTCOMES_STREAM: Final = "ekiben:outcomes"
FORMER_FORMAT: Final = b"1"

_COLUMNS: Final = (
    "event_id", "at", "kind", "prediction_id", "user_hash", "model", "version", "model_version",
    "experiment", "variant", "phase", "revision", "result", "assigned_by", "cached", "score", "decision",
    "latency_ms", "status", "name", "value", "features",
)  # fmt: skip


def read_former(packed: bytes) -> dict[str, list[Any]]:
    """The events of a block, by kind. Raises `msgspec.MsgspecError`."""
    found: dict[str, list[Any]] = {}
    for row in msgspec.msgpack.decode(packed, type=list[list[Any]]):
        if len(row) != len(_COLUMNS):
            raise msgspec.ValidationError("an event with the wrong number of columns")
        for kind, event in _events(dict(zip(_COLUMNS, row, strict=True))):
            found.setdefault(kind, []).append(event)
    return found


def _events(row: dict[str, Any]) -> list[tuple[str, Event]]:
    match row["kind"]:
        case "exposure":
            exposure = ("exposure", msgspec.convert(row, Exposure))
            if row["features"] is None:
                return [exposure]
            # Features were a column of exposures then, of a share that the block does not tell.
            captured = row | {"event_id": f"{row['event_id']}.features", "depth": "features"}
            return [exposure, ("prediction", msgspec.convert(captured, Prediction))]
        case "shadow":
            served_ms = None if row["status"] is None else row["status"] / 1000  # it was in microseconds
            row |= {
                "agreed": row["result"] == "agreed",
                "against": row["name"],
                "against_score": row["value"],
                "against_latency_ms": served_ms,
            }
            return [("shadow", msgspec.convert(row, ShadowAnswer))]
        case "outcome":
            return [("outcome", msgspec.convert(row, Outcome))]
        case other:
            raise msgspec.ValidationError(f"events of kind {other!r}")
