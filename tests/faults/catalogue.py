"""Every fault of the table, one at a time and in pairs. docs/decisions/0046 gives the reason for each pair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.faults.moves import (
    clients_disconnecting,
    coverage_moved,
    idle_connections,
    panic_pressed,
    slow_senders,
)
from tests.faults.scene import (
    HOLD_S,
    Apply,
    Scene,
    flushed,
    killed,
    misbehaving,
    out_of_memory,
    paused,
    read_only,
    restarted_empty,
    router_told_to_stop,
    worker_killed,
)
from tests.faults.service import WAYS


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table.

    `errors` is true where nothing is left to answer with: then each error has to be a problem+json within
    the deadline. Everywhere else there may be none. `load_ends` is true where the load stops with the fault.
    """

    group: str
    name: str
    apply: Apply
    errors: bool = False
    hold_s: float = HOLD_S
    load_ends: bool = False


def both(*faults: Apply) -> Apply:
    """Several faults at once: there together, mended in the opposite order."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for fault in faults:
                await stack.enter_async_context(fault(scene))
            yield

    return apply


_WAYS: Final = {
    "slow": "slow by 10 s",
    "500": "answers 500",
    "garbage": "answers garbage",
    "nonsense": "answers with the wrong fields",
    "short": "answers with a short array",
    "cut": "closes connections mid-answer",
}


def _service_faults(group: str, name: str) -> list[Fault]:
    assert tuple(_WAYS) == WAYS
    return [
        Fault(group, "killed (SIGKILL)", killed(name)),
        Fault(group, "stopped (SIGSTOP)", paused(name)),
        *(Fault(group, text, misbehaving(name, way)) for way, text in _WAYS.items()),
    ]


def _redis_faults(group: str, name: str) -> list[Fault]:
    return [
        Fault(group, "killed", killed(name)),
        Fault(group, "paused (SIGSTOP)", paused(name)),
        Fault(group, "out of memory", out_of_memory(name)),
        Fault(group, "read-only", read_only(name)),
        Fault(group, "flushed", flushed(name), hold_s=1.0),
        Fault(group, "restarted empty", restarted_empty(name), hold_s=1.0),
    ]


BOTH_LIVE_DEAD: Final = both(killed("live-a"), killed("live-b"))

SINGLE: Final[tuple[Fault, ...]] = (
    *_service_faults("treatment, its one endpoint", "treatment"),
    *_service_faults("live, one of two endpoints", "live-a"),
    *_redis_faults("cache Redis", "cache"),
    *_redis_faults("state Redis", "state"),
    Fault("router", "one of two workers killed", worker_killed, hold_s=1.0),
    Fault("router", "told to stop (SIGTERM)", router_told_to_stop, hold_s=0.0, load_ends=True),
    Fault("router", "panic switch pressed", panic_pressed, hold_s=1.0),
    Fault("experiments", "coverage changed 100 times", coverage_moved(100), hold_s=0.0),
    Fault("clients", "200 send a byte every half second", slow_senders),
    Fault("clients", "leave mid-request, over and over", clients_disconnecting),
    Fault("clients", "5,000 idle connections", idle_connections(5000)),
    Fault("live, both endpoints", "killed: nothing stands in", BOTH_LIVE_DEAD, errors=True),
)

PAIRS: Final[tuple[Fault, ...]] = tuple(
    Fault("pair", name, apply, errors=errors, hold_s=hold_s, load_ends=load_ends)
    for name, apply, errors, hold_s, load_ends in (
        (
            "cache killed + treatment answers 500",
            both(killed("cache"), misbehaving("treatment", "500")),
            False,
            HOLD_S,
            False,
        ),
        ("both Redis killed", both(killed("cache"), killed("state")), False, HOLD_S, False),
        ("both Redis paused", both(paused("cache"), paused("state")), False, HOLD_S, False),
        (
            "treatment slow by 10 s + a live endpoint killed",
            both(misbehaving("treatment", "slow"), killed("live-a")),
            False,
            HOLD_S,
            False,
        ),
        (
            "treatment stopped + a live endpoint stopped",
            both(paused("treatment"), paused("live-a")),
            False,
            HOLD_S,
            False,
        ),
        (
            "a live endpoint killed + the other closes mid-answer",
            both(killed("live-a"), misbehaving("live-b", "cut")),
            True,
            HOLD_S,
            False,
        ),
        ("state killed + a router worker killed", both(killed("state"), worker_killed), False, 4.0, False),
        (
            "a live endpoint stopped + a router worker killed",
            both(paused("live-a"), worker_killed),
            False,
            4.0,
            False,
        ),
        (
            "state restarted empty + coverage changed 20 times",
            both(restarted_empty("state"), coverage_moved(20)),
            False,
            0.0,
            False,
        ),
        (
            "treatment slow by 10 s + router told to stop",
            both(misbehaving("treatment", "slow"), router_told_to_stop),
            False,
            0.0,
            True,
        ),
    )
)
