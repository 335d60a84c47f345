"""Whatever a stream entry holds, it becomes rows or is refused as a bad block: nothing else happens."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from ekiben.control.recording.ranges import EntryId
from ekiben.control.recording.rows import entry_rows
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.control.recording.streams import STREAMS
from ekiben.state.streams.blocks import BadBlock, encode_block, pack_block
from tests.control.recording.events import exposure, outcome, shadow

ENTRY = EntryId(1_795_262_400_123, 4)
EVENTS, OUTCOMES, *_ = STREAMS

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(SCHEMAS["outcome"].names), anything, max_size=6))
def test_an_event_of_any_values_becomes_a_row_or_a_bad_block(values: dict[str, Any]) -> None:
    fields = pack_block("b", {"outcome": [asdict(outcome("o")) | values]})
    try:
        batches, _ = entry_rows(OUTCOMES, ENTRY, fields)
    except BadBlock:
        return
    assert batches["outcome"].num_rows == 1
    assert batches["outcome"].schema.equals(SCHEMAS["outcome"])


def test_events_are_parted_by_kind_and_keep_their_order() -> None:
    fields = encode_block("b", [exposure("a"), shadow("a"), exposure("b")])
    batches, _ = entry_rows(EVENTS, ENTRY, fields)
    assert {kind: batch.column("event_id").to_pylist() for kind, batch in batches.items()} == {
        "exposure": ["a", "b"],
        "shadow": ["a.v3"],
    }


def test_a_block_without_events_is_no_rows() -> None:
    assert entry_rows(OUTCOMES, ENTRY, encode_block("b", [])) == ({}, {})


def test_a_kind_without_events_costs_its_neighbours_nothing() -> None:
    fields = pack_block("b", {"shadow": [], "sale": [], "exposure": [exposure("a")]})
    batches, unknown = entry_rows(EVENTS, ENTRY, fields)
    assert (list(batches), unknown) == (["exposure"], {})


def test_when_an_entry_was_received_rises_with_its_id() -> None:
    ids = [EntryId(ms, seq) for ms in (1_795_262_400_123, 1_795_262_400_124) for seq in (0, 1, 2, 998, 999)]
    times = [entry.received_at for entry in ids]
    assert times == sorted(set(times))
    assert times[0] == 1_795_262_400.123
