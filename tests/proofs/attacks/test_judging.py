"""What the harness takes for held and broken, and what it writes."""

from __future__ import annotations

from typing import Any, cast

from tests.proofs.attacks.attack import Attack, Found, Row, run_attack
from tests.proofs.attacks.catalogue import GROUPS
from tests.proofs.attacks.costly import Beside, Cost, worst
from tests.proofs.attacks.kinds import KINDS
from tests.proofs.attacks.report import render


class Nothing:
    """An installation of which nothing is asked."""

    def restore(self) -> None:
        """It is whole."""


def _row(found: Found) -> Row:
    return Row("web.py", Attack("A2", "a page of another origin", "403", lambda _: found), found, 0.1)


def _cost(kind: str, size: float, cpu_ms: float, longest_ms: float) -> Cost:
    return Cost(kind, 10, size, cpu_ms, longest_ms, "400")


def _beside(failed: int, p99_ms: float) -> Beside:
    return Beside("outcomes", 2000, failed, 0, p99_ms, ())


def test_an_attack_that_cannot_be_carried_out_is_a_broken_promise() -> None:
    def fails(_: object) -> Found:
        raise OSError("no such port")

    row = run_attack("web.py", Attack("A2", "x", "y", fails), cast("Any", Nothing()))
    assert not row.found.held
    assert "no such port" in row.found.seen


def test_others_pay_when_one_request_fails_or_the_slowest_take_three_times_as_long() -> None:
    alone = _beside(0, 10.0)
    assert not _beside(0, 30.0).broken(alone)
    assert _beside(0, 31.0).broken(alone)
    assert _beside(1, 2.0).broken(alone)
    assert not _beside(0, 25.0).broken(_beside(0, 2.0))


def test_the_worst_kinds_are_those_per_byte_per_request_and_by_their_longest_turn() -> None:
    costs = [
        _cost("tiny", 80, 1.0, 3.0),
        _cost("large", 900_000, 50.0, 9.0),
        _cost("slow", 900_000, 60.0, 40.0),
        _cost("dear", 100_000, 20.0, 5.0),
        _cost("cheap", 900_000, 1.0, 1.0),
    ]
    assert worst(costs) == ["tiny", "dear", "slow"]


def test_there_are_more_than_twenty_kinds_and_every_attack_says_what_it_requires() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 20
    attacks = [attack for its in GROUPS.values() for attack in its]
    assert all(attack.row and attack.name and attack.required for attack in attacks)
    assert len({attack.run for attack in attacks}) == len(attacks)


def test_the_page_names_what_is_broken() -> None:
    rows = [_row(Found(True, "8 of 8 refused")), _row(Found(False, "taken: text/plain"))]
    costs = [_cost("outcomes", 900_000, 50.0, 9.0)]
    page = render(rows, costs, [_beside(3, 80.0)], _beside(0, 2.0), 60.0)
    assert "| 8 of 8 refused | held |" in page
    assert "- A2, a page of another origin: taken: text/plain" in page
    assert "- A1, outcomes: 3 of 2000 failed, p99 80 ms" in page
    assert "Every promise held" not in page
