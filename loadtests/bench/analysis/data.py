"""Events for the analysis' benchmark, as the recorder would have written them: made once, then kept.

Users come back with the same chance each; of the outcomes three quarters name a prediction, one quarter a
user. Ids and hashes are as long and as random as real ones. Days are made one after the other, so that the
memory that it takes is that of the outcomes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from ekiben.control.recording.schemas import SCHEMAS
from loadtests.bench.document import EXPERIMENT

START: Final = 1_790_000_000.0
DAYS: Final = 14
_DAY_S: Final = 86_400
_ROWS_A_GROUP: Final = 131_072  # as the recorder's
_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype="u1")


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each. So many come `later`, and then as many again and again, as often as before."""

    exposures: int
    outcomes: int
    users: int
    later: int = 0

    @property
    def name(self) -> str:
        """For folders."""
        return f"{self.exposures}-{self.outcomes}-{self.users}-{self.later}"


def make(size: Size, folder: Path, batches: int) -> Path:
    """Write the events below `folder`, unless they are there; returns their own folder. It has one for the
    events, `first`, and one for each batch of later ones: `later-0` and so on.
    """
    done = folder / size.name
    if done.exists():
        return done
    draft = done.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    _Maker(size, draft).write(batches)
    draft.rename(done)
    return done


@dataclass
class _Given:
    """Predictions and what comes of them: who, and when it happens."""

    ids: Any
    users: Any
    at: Any


class _Maker:
    def __init__(self, size: Size, folder: Path) -> None:
        self._size = size
        self._folder = folder
        rng = self._rng = np.random.default_rng(11)
        self._hashes = np.frombuffer(rng.bytes(16 * size.users), dtype="V16")
        self._treated = rng.random(size.users) < 0.5
        self._coming: list[_Given] = []

    def write(self, batches: int) -> None:
        first = self._folder / "first"
        # What would happen in the hours after the end never comes.
        share = self._size.outcomes / self._size.exposures * DAYS / (DAYS - 0.25)
        for day, count in enumerate(np.bincount(np.arange(self._size.exposures) % DAYS, minlength=DAYS)):
            begin = START + day * _DAY_S
            self._expose(first, int(count), begin, _DAY_S, share)
            self._bring(first, begin + _DAY_S)
        end = START + DAYS * _DAY_S
        later = self._size.later / (self._size.exposures + self._size.outcomes)
        seconds = later * DAYS * _DAY_S
        for batch in range(batches if later else 0):
            folder, begin = self._folder / f"later-{batch}", end + batch * seconds
            self._expose(folder, round(later * self._size.exposures), begin, seconds, share)
            self._bring(folder, begin + seconds)

    def _expose(self, folder: Path, count: int, begin: float, seconds: float, share: float) -> None:
        """Write exposures of a stretch of time, and note what will come of some."""
        rng = self._rng
        at = np.sort(rng.random(count)) * seconds + begin
        users = rng.integers(0, self._size.users, count)
        ids = self._prediction_ids(at)
        self._write(folder, "exposure", self._exposures(ids, users, at))
        some = np.flatnonzero(rng.random(count) < share)
        self._coming.append(_Given(ids[some], users[some], at[some] + rng.exponential(6 * 3600, len(some))))

    def _bring(self, folder: Path, until: float) -> None:
        """Write the outcomes that have happened by then."""
        ids, users, at = (
            np.concatenate([getattr(each, name) for each in self._coming]) for name in ("ids", "users", "at")
        )
        order = np.argsort(at, kind="stable")
        come = order[: int(np.searchsorted(at[order], until))]
        rest = order[len(come) :]
        self._coming = [_Given(ids[rest], users[rest], at[rest])]
        self._write(folder, "outcome", self._outcomes(_Given(ids[come], users[come], at[come])))

    def _exposures(self, ids: Any, users: Any, at: Any) -> dict[str, Any]:
        rng, count = self._rng, len(at)
        treated = self._treated[users]
        chance = rng.random(count)
        fell_back = (chance >= 0.003) & (chance < 0.01) & treated
        version = np.where(treated & ~fell_back, 1, 0)
        texts = _hex(ids)
        return {
            "event_id": texts,
            "at": at,
            "prediction_id": texts,
            "user_hash": _hex(self._hashes[users]),
            "model": _one_of(["credit"], np.zeros(count)),
            "version": _one_of(["v1", "v2"], version),
            "model_version": _one_of(["credit_v1:m5yx2f3a", "credit_v2:q7kd9b1c"], version),
            "experiment": _one_of([EXPERIMENT], np.zeros(count)),
            "variant": _one_of(["control", "treatment"], treated),
            "phase": np.ones(count, "i4"),
            "revision": np.full(count, 7, "i4"),
            "result": _one_of(
                ["served", "fallback", "error"], np.where(chance < 0.003, 2, np.where(fell_back, 1, 0))
            ),
            "assigned_by": _one_of(["hash"], np.zeros(count)),
            "cached": rng.random(count) < 0.3,
            "score": rng.random(count),
            "decision": _one_of(["approved", "declined"], rng.random(count) < 0.3),
            "latency_ms": rng.gamma(2, 30, count),
            "status": np.full(count, 200, "i4"),
            "attributes": _one_of(
                [f'{{"country":"{country}","plan":"{plan}"}}' for country in "ABCDE" for plan in "xyz"],
                users % 15,
            ),
            "received_at": at + 0.05,
        }

    def _outcomes(self, given: _Given) -> dict[str, Any]:
        rng, count = self._rng, len(given.at)
        by_user = rng.random(count) < 0.25
        name = rng.choice(4, count, p=[0.35, 0.25, 0.25, 0.15])
        profit = rng.normal(10 + 2 * self._treated[given.users], 165)
        nothing = pa.nulls(count, pa.string())
        received_at = np.sort(given.at + 1)
        return {
            "event_id": _hex(self._prediction_ids(received_at)),
            "at": given.at,
            "prediction_id": pa.compute.if_else(pa.array(by_user), nothing, _hex(given.ids)),
            "user_hash": pa.compute.if_else(pa.array(by_user), _hex(self._hashes[given.users]), nothing),
            "name": _one_of(["profit", "good", "orders", "complaint"], name),
            "value": np.where(name == 0, profit, np.where(name == 1, rng.random(count) < 0.7, 1.0)),
            "received_at": received_at,
        }

    def _prediction_ids(self, at: Any) -> Any:
        """UUIDs of version 7, as `router.records.events.IdMaker` makes them."""
        letters = np.frombuffer(self._rng.bytes(16 * len(at)), dtype="u1").reshape(-1, 16).copy()
        ms = (at * 1000).astype("u8")
        for place in range(6):
            letters[:, place] = ms >> np.uint64(8 * (5 - place)) & np.uint64(255)
        letters[:, 6] = 0x70 | letters[:, 6] & 0x0F
        letters[:, 8] = 0x80 | letters[:, 8] & 0x3F
        return letters.view("V16")[:, 0]

    def _write(self, folder: Path, kind: str, columns: dict[str, Any]) -> None:
        count = len(columns["at"])
        if not count:
            return
        table = pa.table(
            [
                pa.array(columns[field.name]).cast(field.type)
                if field.name in columns
                else pa.nulls(count, field.type)
                for field in SCHEMAS[kind]
            ],
            schema=SCHEMAS[kind],
        )
        first, last = (int(columns["received_at"][place] * 1000) for place in (0, -1))
        day = datetime.fromtimestamp(first / 1000, UTC).date()
        folder = folder / f"kind={kind}" / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"2-{first:014d}.000000-{last:014d}.000000.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP)


def files_of(folder: Path) -> Iterator[Path]:
    """The event files below a folder, relative to it."""
    return (each.relative_to(folder) for each in sorted(folder.glob("kind=*/day=*/*.parquet")))


def _hex(raw: Any) -> Any:
    """Rows of 16 bytes as strings of 32 hex digits."""
    held = np.frombuffer(raw.tobytes(), dtype="u1")
    letters = np.empty(2 * held.size, dtype="u1")
    letters[::2], letters[1::2] = _HEX[held >> 4], _HEX[held & 15]
    offsets = np.arange(len(raw) + 1, dtype="i4") * 32
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(letters.tobytes()))


def _one_of(values: list[str], places: Any) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.asarray(places, "i4")), pa.array(values))
