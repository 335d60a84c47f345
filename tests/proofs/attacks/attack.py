"""What an attack is: a bounded program, what it requires, and what it saw."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final, NamedTuple

from tests.proofs.attacks.installation import Installation

LONGEST_S: Final = 60.0
"""An attack that takes longer is broken: something stands still."""


class Found(NamedTuple):
    """Whether the promise was kept, and what was seen, in a few words."""

    held: bool
    seen: str


class TookTooLong(Exception):
    """The attack was still running after the time that it has."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A row of the table: `row` is its name in the list of faults, such as A2."""

    row: str
    name: str
    required: str
    run: Callable[[Installation], Found]


@dataclass(frozen=True, slots=True)
class Row:
    """An attack that has run. `group` is the file that it is in."""

    group: str
    attack: Attack
    found: Found
    took_s: float


def run_attack(group: str, attack: Attack, installation: Installation) -> Row:
    """Run one attack in the main thread, bounded; afterwards the installation is whole again."""
    begun = time.monotonic()
    try:
        with _at_most(LONGEST_S):
            found = attack.run(installation)
    except TookTooLong:
        found = Found(False, f"not over after {LONGEST_S:.0f} s")
    except Exception as error:
        # An attack that cannot be carried out proves nothing, and a promise without proof is not kept.
        found = Found(False, f"the attack failed: {type(error).__name__}: {str(error)[:200]}")
    took_s = time.monotonic() - begun
    installation.restore()
    return Row(group, attack, found, took_s)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def over(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: an exception that is raised inside a callback is let go of.
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
