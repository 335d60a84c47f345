"""The cache in the process: bounded, timed, least recently used goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.lanes.answer import Answer
from router.lanes.cache import LocalCache


def answer(name: str) -> Answer:
    return Answer(name.encode(), "tag", None, None)


def test_an_answer_is_kept_until_it_expires_and_not_longer() -> None:
    cache = LocalCache(10)
    cache.put("a", answer("a"), expires=5.0)
    assert cache.get("a", 4.9) == answer("a")
    assert cache.get("a", 5.0) is None
    assert len(cache) == 0


def test_the_one_not_used_for_longest_makes_room() -> None:
    cache = LocalCache(2)
    cache.put("a", answer("a"), 9.0)
    cache.put("b", answer("b"), 9.0)
    assert cache.get("a", 1.0) is not None
    cache.put("c", answer("c"), 9.0)
    assert cache.get("b", 1.0) is None
    assert cache.get("a", 1.0) is not None
    assert cache.get("c", 1.0) is not None


def test_the_same_key_again_takes_no_second_place() -> None:
    cache = LocalCache(2)
    for _ in range(5):
        cache.put("a", answer("a"), 9.0)
    cache.put("b", answer("b"), 9.0)
    assert cache.get("a", 1.0) is not None


def test_a_cache_of_no_entries_keeps_nothing() -> None:
    cache = LocalCache(0)
    cache.put("a", answer("a"), 9.0)
    assert cache.get("a", 1.0) is None


@given(st.integers(0, 5), st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 10), st.booleans())))
def test_it_never_holds_more_than_its_entries_and_never_gives_what_was_not_put(
    entries: int, uses: list[tuple[str, float, bool]]
) -> None:
    cache = LocalCache(entries)
    for key, when, put in uses:
        if put:
            cache.put(key, answer(key), when)
        else:
            found = cache.get(key, when)
            assert found is None or found == answer(key)
        assert len(cache) <= entries
