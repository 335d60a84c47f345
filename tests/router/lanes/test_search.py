"""The search for guilty rows, decided without a call."""

from __future__ import annotations

import pytest

from router.errors import BulkFailed, BulkRefused, RowRefused, VersionUnavailable
from router.lanes.answer import Answer, Row
from router.lanes.search import Search

WHOLE = BulkFailed("status 500")


def answers(part: slice) -> list[Row]:
    return [Answer(b"{}", "credit_v1:1", None, None) for _ in range(part.stop - part.start)]


@pytest.mark.parametrize("guilty", [{0}, {12}, {3, 4}, set(range(13))])
def test_only_the_guilty_rows_keep_their_failure(guilty: set[int]) -> None:
    search = Search(13, WHOLE)
    while parts := search.take():
        for part in parts:
            failed = guilty & set(range(part.start, part.stop))
            search.learn(part, WHOLE if failed else answers(part))
    assert {n for n, became in enumerate(search.found) if became is WHOLE} == guilty
    assert all(isinstance(became, Answer) for n, became in enumerate(search.found) if n not in guilty)


def test_a_row_that_is_refused_alone_is_the_clients_fault() -> None:
    (became,) = Search(1, BulkRefused("status 400")).found
    assert isinstance(became, RowRefused)


def test_what_is_not_settled_keeps_a_failure_for_which_another_version_may_answer() -> None:
    search = Search(4, BulkRefused("status 400"))
    first, _ = search.take()
    search.learn(first, answers(first))
    assert [type(became) for became in search.found] == [Answer, Answer, *[VersionUnavailable] * 2]


def test_at_most_eight_parts_are_asked_for_together() -> None:
    search = Search(256, WHOLE)
    sizes = []
    while parts := search.take():
        sizes.append(len(parts))
        for part in parts:
            search.learn(part, WHOLE)
    assert max(sizes) == 8
    assert sum(sizes) == 2 * 256 - 2
