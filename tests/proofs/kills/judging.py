"""Whether what was promised is what the event files hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.proofs.kills.load import Noted

FLUSH_S: Final = 0.050
# Between a worker's answer and its client's note, and for a block on its way, on a machine that does more.
SLACK_S: Final = 0.250
# A worker that could not send tries again half a second later.
AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A span of the monotonic clock in which the state Redis did not answer."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of what was promised. `broken` is empty when every promise held."""

    accepted: int
    counted_once: int
    never_counted: int
    counted_twice: int
    unsure: int
    unsure_counted: int
    served: int
    recorded: int
    recorded_twice: int
    lost_unsent: int
    lost_waiting: int
    lost_unexplained: int
    broken: tuple[str, ...]


def judge(
    noted: Noted,
    outcomes: Iterable[int],
    exposures: Iterable[str],
    worker_kills: Sequence[float],
    outages: Sequence[Outage],
) -> Verdict:
    """`outcomes` are the numbers that the reader counts, `exposures` the event ids that it sees.

    A served prediction may lack its exposure when a worker was killed within 50 ms after it (`lost_unsent`),
    or while exposures waited in its memory because Redis was away (`lost_waiting`).
    """
    counted, seen = Counter(outcomes), Counter(exposures)
    never = sum(not counted[number] for number in noted.accepted)
    twice = sum(times > 1 for times in counted.values())
    strangers = counted.keys() - noted.accepted - noted.unsure
    lost = {prediction: at for prediction, at in noted.served.items() if not seen[prediction]}
    unsent = {prediction for prediction, at in lost.items() if _is_unsent(at, worker_kills)}
    waiting = {
        prediction
        for prediction, at in lost.items()
        if prediction not in unsent and _was_waiting(at, worker_kills, outages)
    }
    unexplained = len(lost) - len(unsent) - len(waiting)
    recorded_twice = sum(times > 1 for times in seen.values())
    broken = [
        f"{number:,} {what}"
        for number, what in (
            (never, "outcomes that were answered with 202 are not counted"),
            (twice, "outcomes are counted more than once"),
            (len(strangers), "outcomes are counted that nobody sent"),
            (recorded_twice, "exposures are recorded more than once"),
            (unexplained, "exposures are lost, and no killed worker had them"),
        )
        if number
    ]
    return Verdict(
        accepted=len(noted.accepted),
        counted_once=sum(counted[number] == 1 for number in noted.accepted),
        never_counted=never,
        counted_twice=twice,
        unsure=len(noted.unsure),
        unsure_counted=sum(counted[number] == 1 for number in noted.unsure),
        served=len(noted.served),
        recorded=len(noted.served) - len(lost),
        recorded_twice=recorded_twice,
        lost_unsent=len(unsent),
        lost_waiting=len(waiting),
        lost_unexplained=unexplained,
        broken=tuple(broken),
    )


def _is_unsent(at: float, worker_kills: Sequence[float]) -> bool:
    return any(kill - FLUSH_S - SLACK_S <= at <= kill + SLACK_S for kill in worker_kills)


def _was_waiting(at: float, worker_kills: Sequence[float], outages: Sequence[Outage]) -> bool:
    return any(
        outage.began - FLUSH_S - SLACK_S <= at <= kill + SLACK_S
        and outage.began <= kill <= outage.ended + AFTER_S
        for outage in _joined(outages)
        for kill in worker_kills
    )


def _joined(outages: Sequence[Outage]) -> list[Outage]:
    """Outages with too little time between them for anybody to have sent what waited count as one."""
    joined: list[Outage] = []
    for outage in sorted(outages, key=lambda each: each.began):
        if joined and outage.began <= joined[-1].ended + AFTER_S:
            joined[-1] = Outage(joined[-1].began, max(joined[-1].ended, outage.ended))
        else:
            joined.append(outage)
    return joined
