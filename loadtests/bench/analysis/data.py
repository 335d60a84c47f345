"""Events for the analysis' benchmark, as the recorder would have written them: made once, then kept.

Users come back with the same chance each; of the outcomes three quarters name a prediction, one quarter a
user. Ids and hashes are as long and as random as real ones.
"""

from __future__ import annotations

import itertools
import shutil
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
_WORKERS: Final = 4
_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype="u1")


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each."""

    exposures: int
    outcomes: int
    users: int


def make(size: Size, folder: Path) -> Path:
    """Write the events below `folder`, unless they are there; returns their own folder."""
    done = folder / f"{size.exposures}-{size.outcomes}-{size.users}"
    if done.exists():
        return done
    draft = done.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    _Maker(size, draft).write()
    draft.rename(done)
    return done


class _Maker:
    def __init__(self, size: Size, folder: Path) -> None:
        self._size = size
        self._folder = folder
        rng = self._rng = np.random.default_rng(11)
        self._users = np.frombuffer(rng.bytes(16 * size.users), dtype="V16")
        self._treated = rng.random(size.users) < 0.5
        self._at = np.sort(rng.random(size.exposures)) * DAYS * _DAY_S + START
        self._who = rng.integers(0, size.users, size.exposures)
        self._prefixes = np.frombuffer(rng.bytes(8 * _WORKERS).hex().encode(), dtype="u1").reshape(-1, 16)

    def write(self) -> None:
        bounds = np.searchsorted(self._at, START + _DAY_S * np.arange(DAYS + 1))
        for first, last in itertools.pairwise(bounds):
            self._write("exposure", self._exposures(np.arange(first, last)))
        given = np.sort(self._rng.choice(self._size.exposures, self._size.outcomes, replace=False))
        at = self._at[given] + self._rng.exponential(6 * 3600, len(given))
        order = np.argsort(at)
        for part in np.array_split(order, DAYS + 1):
            self._write("outcome", self._outcomes(given[part], at[part]))

    def _exposures(self, numbers: Any) -> dict[str, Any]:
        rng, count = self._rng, len(numbers)
        users = self._who[numbers]
        treated = self._treated[users]
        chance = rng.random(count)
        fell_back = (chance >= 0.003) & (chance < 0.01) & treated
        version = np.where(treated & ~fell_back, 1, 0)
        ids = _hex(self._prediction_ids(numbers), 24)
        return {
            "event_id": ids,
            "at": self._at[numbers],
            "prediction_id": ids,
            "user_hash": _hex(self._user_hashes(users), 32),
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
            "received_at": self._at[numbers] + 0.05,
        }

    def _outcomes(self, given: Any, at: Any) -> dict[str, Any]:
        rng, count = self._rng, len(given)
        by_user = rng.random(count) < 0.25
        name = rng.choice(4, count, p=[0.35, 0.25, 0.25, 0.15])
        profit = rng.normal(10 + 2 * self._treated[self._who[given]], 165)
        predictions = _hex(self._prediction_ids(given), 24)
        users = _hex(self._user_hashes(self._who[given]), 32)
        nothing = pa.nulls(count, pa.string())
        return {
            "event_id": _hex(np.frombuffer(rng.bytes(12 * count).hex().encode(), dtype="u1"), 24),
            "at": at,
            "prediction_id": pa.compute.if_else(pa.array(by_user), nothing, predictions),
            "user_hash": pa.compute.if_else(pa.array(by_user), users, nothing),
            "name": _one_of(["profit", "good", "orders", "complaint"], name),
            "value": np.where(name == 0, profit, np.where(name == 1, rng.random(count) < 0.7, 1.0)),
            "received_at": at + 1,
        }

    def _prediction_ids(self, numbers: Any) -> Any:
        """A worker's prefix and its count, as `router.records.events.IdMaker` makes them."""
        letters = np.empty((len(numbers), 24), dtype="u1")
        letters[:, :16] = self._prefixes[numbers % _WORKERS]
        for place in range(8):
            letters[:, 23 - place] = _HEX[(numbers // _WORKERS >> 4 * place) & 15]
        return letters

    def _user_hashes(self, users: Any) -> Any:
        return np.frombuffer(self._users[users].tobytes().hex().encode(), dtype="u1")

    def _write(self, kind: str, columns: dict[str, Any]) -> None:
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
        folder = self._folder / f"kind={kind}" / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"2-{first:014d}.000000-{last:014d}.000000.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP)


def _hex(letters: Any, width: int) -> Any:
    """Rows of ASCII letters as strings of one width."""
    count = letters.size // width
    offsets = np.arange(count + 1, dtype="i4") * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters.tobytes()))


def _one_of(values: list[str], places: Any) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.asarray(places, "i4")), pa.array(values))
