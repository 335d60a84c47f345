"""The tables of docs/reliability.md, between their markers, with the machine and the date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.proofs.faults.report import machine
from tests.proofs.kills.judging import Verdict
from tests.proofs.kills.killing import Kill
from tests.proofs.kills.load import Noted


def rows(verdict: Verdict) -> list[tuple[str, int]]:
    """What became of everything, in words."""
    return [
        ("outcomes answered with 202", verdict.accepted),
        ("… of them counted once", verdict.counted_once),
        ("… of them not counted", verdict.never_counted),
        ("outcomes counted more than once", verdict.counted_twice),
        ("outcomes sent, never answered with 202", verdict.unsure),
        ("… of them counted once", verdict.unsure_counted),
        ("predictions answered within the experiment", verdict.served),
        ("… with their exposure recorded", verdict.recorded),
        ("… lost: unsent in a worker that was killed", verdict.lost_unsent),
        ("… lost: waiting in a killed worker while Redis was away", verdict.lost_waiting),
        ("… lost otherwise", verdict.lost_unexplained),
        ("exposures recorded more than once", verdict.recorded_twice),
    ]


def render(
    kills: Sequence[Kill], verdict: Verdict, noted: Noted, seed: int, rate: float, took_s: float
) -> str:
    """What was killed and what became of it, as Markdown."""
    times = Counter(" + ".join(kill.victims) for kill in kills)
    killed = ", ".join(f"{what} {number} times" for what, number in times.most_common())
    lines = [
        "| what | how many |",
        "|---|---|",
        *(f"| {what} | {number:,} |" for what, number in rows(verdict)),
    ]
    said = "Every promise held." if not verdict.broken else "Broken: " + "; ".join(verdict.broken) + "."
    return (
        f"{machine()}. {len(kills)} kills in {took_s / 60:.1f} minutes (seed {seed}), {rate:.0f} predictions "
        f"a second throughout. Killed were {killed}. Of {noted.requests:,} requests with outcomes "
        f"{noted.refused:,} were answered with 503 and {noted.cut:,} not at all.\n\n"
        + "\n".join(lines)
        + f"\n\n{said}"
    )
