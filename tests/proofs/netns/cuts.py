"""Who is cut off from whom, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.proofs.netns.installation import Installation

Apply = Callable[[Installation], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut. `coverage_moves`: the experiment's coverage is changed while it lasts. `least_s`: how long it
    lasts at least. `replicas`: how many replicas each router is to have at its end, None for no matter.
    """

    name: str
    apply: Apply
    coverage_moves: bool = False
    least_s: float = 0.0
    replicas: int | None = None


def off(name: str) -> Apply:
    """A host that nobody reaches."""
    return lambda installation: installation.hosts.cut_off(name)


def parted(one: str, *others: str) -> Apply:
    """A host that does not reach the others, nor they it."""

    @contextmanager
    def apply(installation: Installation) -> Iterator[None]:
        with ExitStack() as cuts:
            for other in others:
                cuts.enter_context(installation.hosts.parted(one, other))
            yield

    return apply


@contextmanager
def unnamed_replica(installation: Installation) -> Iterator[None]:
    """A replica of each version that is no longer behind its name, though it still answers."""
    installation.name("live-2", "treatment-2")
    try:
        yield
    finally:
        installation.name()


ROUTER_FROM_STATE: Final = Cut(
    "one router from the state, coverage changed meanwhile", parted("router-1", "state"), coverage_moves=True
)
REPLICA_OF_TREATMENT: Final = Cut("a replica of the treatment", off("treatment-1"))
CUTS: Final = (
    ROUTER_FROM_STATE,
    Cut("one router from the cache", parted("router-1", "cache")),
    Cut("one router from both Redis", parted("router-1", "cache", "state")),
    Cut("one router from a replica of live", parted("router-1", "live-1")),
    Cut("a replica of live", off("live-1")),
    REPLICA_OF_TREATMENT,
    Cut("a replica of each", parted("live-1", "router-1", "router-2", "treatment-1")),
    Cut("both replicas of the treatment from one router", parted("router-1", "treatment-1", "treatment-2")),
    Cut("the cache", off("cache")),
    Cut("the state", off("state")),
    # Routers look every 5 s, and a busy one a little later.
    Cut("no host, but a replica of each leaves its name", unnamed_replica, least_s=8.0, replicas=2),
)
