"""Event blocks: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import tracemalloc
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ekiben.state.streams.blocks import BadBlock, decode_block, encode_block, pack_block
from ekiben.state.streams.events import KINDS, Event, Exposure, Outcome

numbers = st.floats(allow_nan=False, allow_infinity=False)
values: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    float: numbers,
    int: st.integers(-(2**31), 2**31 - 1),
    bool: st.booleans(),
    tuple[float, ...]: st.lists(numbers, max_size=3).map(tuple),
}


def types_of(struct: type[Event]) -> dict[str, Any]:
    """Each field's type, without None."""
    hints = get_type_hints(struct)
    return {name: hint if hint in values else get_args(hint)[0] for name, hint in hints.items()}


def any_of(struct: type[Event]) -> st.SearchStrategy[Event]:
    """Events of a kind, each field with a value of its type or, where it may, without one."""
    fields = {
        name: values[of] if name in ("event_id", "at") else st.none() | values[of]
        for name, of in types_of(struct).items()
    }
    return st.builds(struct, **fields)


events = st.lists(st.one_of(*map(any_of, KINDS.values())), max_size=20)


def test_no_column_goes_and_none_changes_its_type_from_one_release_to_the_next() -> None:
    # Files and blocks of earlier releases have these. Add to this list, and take nothing from it.
    served = (
        "event_id at prediction_id user_hash model version model_version experiment variant phase revision "
        "assigned_by result status cached score scores decision latency_ms attributes"
    )
    first = {
        "exposure": served,
        "prediction": f"{served} depth weight features",
        "shadow": "event_id at prediction_id user_hash model version model_version revision cached score "
        "decision latency_ms agreed against against_model_version against_score against_latency_ms",
        "outcome": "event_id at prediction_id user_hash name value id_hint",
    }
    for kind, names in first.items():
        assert set(names.split()) <= set(KINDS[kind].__struct_fields__)
    types = {name: of for struct in KINDS.values() for name, of in types_of(struct).items()}
    assert {name for name, of in types.items() if of is int} == {"phase", "revision", "status"}
    assert {name for name, of in types.items() if of is bool} == {"cached", "agreed"}
    assert {name for name, of in types.items() if of is float} == {
        "at", "score", "latency_ms", "weight", "against_score", "against_latency_ms", "value"
    }  # fmt: skip


@given(events)
def test_a_block_gives_back_its_events(rows: list[Event]) -> None:
    fields = encode_block("block-1", rows)
    found = decode_block(fields)
    assert (found.block_id, found.unknown) == ("block-1", {})
    for kind, struct in KINDS.items():
        assert found.events.get(kind, []) == [row for row in rows if type(row) is struct]
    assert fields[b"count"] == str(len(rows)).encode()


def test_events_that_look_alike_take_a_tenth_of_their_size() -> None:
    rows = [
        Exposure(f"{n:016x}", 1.7e9 + n, *["credit-boosting"] * 6, result="served", status=200)
        for n in range(500)
    ]
    assert len(encode_block("id", rows)[b"events"]) < len(msgspec.msgpack.encode(rows)) / 10


def test_a_column_of_a_later_release_is_skipped_and_its_event_is_read() -> None:
    later = {"event_id": "e", "at": 5.0, "name": "profit", "value": 1.0, "currency": "EUR"}
    assert decode_block(pack_block("b", {"outcome": [later]})).events == {
        "outcome": [Outcome("e", 5.0, name="profit", value=1.0)]
    }


def test_events_of_a_kind_of_a_later_release_stand_apart_and_cost_their_neighbours_nothing() -> None:
    strange = [{"event_id": "s", "at": 5.0, "colour": [1, 2]}]
    found = decode_block(pack_block("b", {"exposure": [Exposure("e", 5.0)], "sale": strange}))
    assert found.events == {"exposure": [Exposure("e", 5.0)]}
    assert found.unknown == {"sale": [msgspec.Raw(msgspec.msgpack.encode(row)) for row in strange]}
    assert decode_block(pack_block("b", found.unknown)) == ("b", {}, found.unknown)


def packed(data: Any) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(data))


DEEP = b"\x91" * 100_000 + b"\xc0"  # a list in a list in a list …
GOOD = encode_block("id", [Outcome("o", 5.0)])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        GOOD | {b"format": b"3"},
        GOOD | {b"events": b"not compressed"},
        GOOD | {b"events": GOOD[b"events"][:-3]},
        GOOD | {b"events": zstandard.compress(b"\xc1 not msgpack")},
        GOOD | {b"events": packed({"outcome": [[1, 2, 3]]})},
        GOOD | {b"format": b"1", b"events": packed([[1, 2, 3]])},
        GOOD | {b"events": packed({"a": 1})},
        GOOD | {b"events": packed({"a": msgspec.Raw(DEEP)})},
        GOOD | {b"events": packed({"outcome": msgspec.Raw(DEEP)})},
        GOOD | {b"format": b"1", b"events": zstandard.compress(DEEP)},
        GOOD | {b"events": packed({"outcome": [{"event_id": 7, "at": 5.0}]})},
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
