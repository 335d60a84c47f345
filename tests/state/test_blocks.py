"""Event blocks: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ekiben.state.streams.blocks import COLUMNS, BadBlock, Event, decode_block, encode_block

values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
events = st.lists(st.tuples(*(values for _ in COLUMNS)), max_size=20)


def test_the_columns_are_those_of_the_design() -> None:
    assert ", ".join(COLUMNS) == (
        "event_id, at, kind, prediction_id, user_hash, model, version, model_version, experiment, variant, "
        "phase, revision, result, assigned_by, cached, score, decision, latency_ms, status, name, value, "
        "features"
    )


@given(events)
def test_a_block_gives_back_its_events(rows: list[Event]) -> None:
    fields = encode_block("block-1", rows)
    assert decode_block(fields) == ("block-1", rows)
    assert fields[b"count"] == str(len(rows)).encode()


def test_events_that_look_alike_take_a_tenth_of_their_size() -> None:
    rows = [
        (f"{n:016x}", 1.7e9 + n, "exposure", *["credit-boosting"] * (len(COLUMNS) - 3)) for n in range(500)
    ]
    assert len(encode_block("id", rows)[b"events"]) < len(msgspec.msgpack.encode(rows)) / 10


def packed(data: Any) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(data))


GOOD = encode_block("id", [tuple(range(len(COLUMNS)))])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        GOOD | {b"format": b"2"},
        GOOD | {b"events": b"not compressed"},
        GOOD | {b"events": GOOD[b"events"][:-3]},
        GOOD | {b"events": zstandard.compress(b"\xc1 not msgpack")},
        GOOD | {b"events": packed([[1, 2, 3]])},
        GOOD | {b"events": packed({"a": 1})},
        GOOD | {b"id": b"\xff"},
        {key: value for key, value in GOOD.items() if key != b"id"},
    ],
)
def test_what_is_no_block_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(BadBlock):
        decode_block(fields)


@given(st.binary(max_size=100))
def test_whatever_bytes_stand_in_for_the_events_a_block_is_read_or_refused(data: bytes) -> None:
    for events in (data, zstandard.compress(data)):
        try:
            decode_block(GOOD | {b"events": events})
        except BadBlock:
            pass


@pytest.mark.parametrize("says_its_size", [True, False])
def test_a_block_that_unpacks_to_more_than_a_block_may_hold_is_no_block(says_its_size: bool) -> None:
    content = b"\0" * (100 * 1024 * 1024)
    packer = zstandard.ZstdCompressor(write_content_size=says_its_size)
    fields = {**encode_block("b", []), b"events": packer.compress(content)}
    assert len(fields[b"events"]) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(BadBlock):
            decode_block(fields)
        assert tracemalloc.get_traced_memory()[1] < 70 * 1024 * 1024
    finally:
        tracemalloc.stop()
