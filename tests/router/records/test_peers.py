"""A budget of the installation is divided among its workers, and never exceeded while they come and go."""

from __future__ import annotations

import random

import pytest

from router.records.peers import AGREED_AFTER_S, Peers


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def agreed(workers: int) -> list[Peers]:
    """Workers that have known each other for long enough."""
    clock = Clock()
    names = [f"w{number}" for number in range(workers)]
    peers = [Peers(name, clock) for name in names]
    for at in (100.0, 100.0 + AGREED_AFTER_S):
        clock.now = at
        for each in peers:
            each.know(names, at)
    return peers


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("budget", [0, 1, 5, 500])
def test_the_parts_of_a_second_add_up_to_the_budget_and_everybody_has_as_many_turns(
    workers: int, budget: int
) -> None:
    peers = agreed(workers)
    parts = [[each.part(budget, second) for each in peers] for second in range(1000, 1000 + workers)]
    assert {sum(each) for each in parts} == {budget}
    assert {sum(of_one) for of_one in zip(*parts, strict=True)} == {budget}


def test_a_worker_that_has_heard_of_nobody_or_is_not_among_them_has_no_part() -> None:
    clock = Clock()
    peers = Peers("me", clock)
    assert peers.part(5, 1) == 0
    for at in (100.0, 100.0 + AGREED_AFTER_S):
        clock.now = at
        peers.know(["another"], at)
    assert peers.part(5, 1) == 0


def test_a_worker_that_hears_nothing_any_more_has_no_part_after_3_seconds() -> None:
    (peers,) = agreed(1)
    clock = peers._clock
    assert isinstance(clock, Clock)
    assert peers.part(5, 1) == 5
    clock.now += AGREED_AFTER_S + 0.01
    assert peers.part(5, 1) == 0


@pytest.mark.parametrize("seed", range(60))
def test_while_workers_come_go_and_are_cut_off_the_parts_never_exceed_the_budget(seed: int) -> None:
    chance = random.Random(seed)
    clock = Clock()
    budget = chance.choice([1, 5, 12])
    alive: dict[str, Peers] = {}
    cut_off: set[str] = set()  # they run, and hear nothing
    heard: dict[str, float] = {}  # by Redis: when each worker's beat came last
    reached = 0
    for step in range(4_000):
        clock.now += 0.05
        if chance.random() < 0.004 and len(alive) < 6:
            alive[f"w{step}"] = Peers(f"w{step}", clock)
        if chance.random() < 0.003 and alive:
            name = chance.choice(sorted(alive))
            if chance.random() < 0.5:
                del alive[name]  # killed: its beat stays for 5 s
            else:
                cut_off ^= {name}
        for name, peers in alive.items():
            if chance.random() < 0.06 and name not in cut_off:
                asked = clock.now - chance.uniform(0.0, 0.05)  # a moment before Redis answered
                heard[name] = clock.now
                peers.know([each for each, at in heard.items() if clock.now - at <= 5.0], asked)
        parts = sum(each.part(budget, int(clock.now)) for each in alive.values())
        assert parts <= budget
        reached = max(reached, parts)
    assert reached == budget
