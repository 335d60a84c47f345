from __future__ import annotations

import pytest

from ekiben.experiments.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.0003, "0.3 ms"),
        (0.42, "0.4 s"),
        (2.16, "2.2 s"),
        (43, "43 s"),
        (59.7, "1 min"),
        (5400, "1.5 h"),
        (24 * 3600, "24 h"),
        (36 * 3600, "36 h"),
        (48 * 3600, "2 days"),
        (12.3 * 86_400, "12 days"),
        (1500 * 86_400, "1,500 days"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("30m", 1800), ("6h", 21_600), ("2d", 172_800)])
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds
