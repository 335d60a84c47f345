"""Every fault of the table, alone and in pairs. docs/decisions/0046 gives the reason for each pair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.proofs.faults.moves import (
    clients_disconnecting,
    coverage_moved,
    idle_connections,
    panic_pressed,
    slow_senders,
)
from tests.proofs.faults.scene import (
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
from tests.proofs.faults.service import WAYS


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table.

    `errors` is true where nothing is left to answer with: then each error has to be a problem+json within
    the deadline. Everywhere else there may be none. `is_event` is true where no end of the fault counts, and
    `load_ends` where the load stops with it.
    """

    group: str
    name: str
    apply: Apply
    errors: bool = False
    hold_s: float = HOLD_S
    is_event: bool = False
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


def service_faults(group: str, name: str) -> list[Fault]:
    """All that can happen to the service of that name."""
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
        Fault(group, "flushed", flushed(name), hold_s=1.0, is_event=True),
        Fault(group, "restarted empty", restarted_empty(name), hold_s=1.0, is_event=True),
    ]


def _pair(
    name: str,
    first: Apply,
    second: Apply,
    *,
    errors: bool = False,
    hold_s: float = HOLD_S,
    is_event: bool = False,
    load_ends: bool = False,
) -> Fault:
    return Fault("two at once", name, both(first, second), errors, hold_s, is_event, load_ends)


BOTH_LIVE_DEAD: Final = both(killed("live-a"), killed("live-b"))

SINGLE: Final[tuple[Fault, ...]] = (
    *service_faults("treatment, its one endpoint", "treatment"),
    *service_faults("live, one of two endpoints", "live-a"),
    *_redis_faults("cache Redis", "cache"),
    *_redis_faults("state Redis", "state"),
    Fault("router", "one of two workers killed", worker_killed, hold_s=1.0, is_event=True),
    Fault("router", "asked to stop (SIGTERM)", router_told_to_stop, hold_s=0.0, load_ends=True),
    Fault("router", "panic switch pressed", panic_pressed, hold_s=1.0),
    Fault("experiments", "coverage changed 100 times", coverage_moved(100), hold_s=0.0, is_event=True),
    Fault("clients", "200 send a byte every half second", slow_senders),
    Fault("clients", "leave mid-request, over and over", clients_disconnecting),
    Fault("clients", "5,000 idle connections", idle_connections(5000)),
    Fault("live, both endpoints", "killed, no fallback left", BOTH_LIVE_DEAD, errors=True),
)

PAIRS: Final[tuple[Fault, ...]] = (
    _pair("cache killed + treatment answers 500", killed("cache"), misbehaving("treatment", "500")),
    _pair("both Redis killed", killed("cache"), killed("state")),
    _pair("both Redis paused", paused("cache"), paused("state")),
    _pair(
        "treatment slow by 10 s + a live endpoint killed", misbehaving("treatment", "slow"), killed("live-a")
    ),
    _pair("treatment stopped + a live endpoint stopped", paused("treatment"), paused("live-a")),
    _pair(
        "a live endpoint killed + the other closes mid-answer, no fallback left",
        killed("live-a"),
        misbehaving("live-b", "cut"),
        errors=True,
    ),
    _pair("state killed + a router worker killed", killed("state"), worker_killed, hold_s=4.0),
    _pair("a live endpoint stopped + a router worker killed", paused("live-a"), worker_killed, hold_s=4.0),
    _pair(
        "state restarted empty + coverage changed 20 times",
        restarted_empty("state"),
        coverage_moved(20),
        hold_s=0.0,
        is_event=True,
    ),
    _pair(
        "treatment slow by 10 s + router asked to stop",
        misbehaving("treatment", "slow"),
        router_told_to_stop,
        hold_s=0.0,
        load_ends=True,
    ),
)
