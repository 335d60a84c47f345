"""Which requests the access log tells of."""

from __future__ import annotations

from router.records.access_log import AccessLog


def test_the_share_decides_by_chance() -> None:
    draws = iter([0.005, 0.02, 0.0])
    log = AccessLog(0.01, lambda: 0.0, lambda: next(draws))
    assert [log.wants(200) for _ in range(3)] == [True, False, True]


def test_without_a_share_only_errors_are_told_and_ten_of_a_second() -> None:
    now = [0.0]
    log = AccessLog(0.0, lambda: now[0], lambda: 0.5)
    assert not log.wants(200)
    assert not log.wants(422)
    assert sum(log.wants(504) for _ in range(50)) == 10
    now[0] = 1.2
    assert log.wants(504)
