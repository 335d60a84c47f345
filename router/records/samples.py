"""Captured predictions: in every second a few of a model's requests, with the weight that makes them all.

Theory of operation:

1. There are two samples. "features" is uniform, by Algorithm L (Li, Reservoir-Sampling Algorithms of Time
   Complexity O(n(1 + log(N/n))), 1994): it knows beforehand which request it takes next. "scores" takes the
   requests whose users have the lowest hashes, so that the same users are in it second after second.
2. A second begins with this worker's part k of each budget, and no sample ever holds more than k requests.
3. When a second is over, what the samples hold goes to the outbox. The weight is how many requests were seen
   since a sample went there last, divided by how many this one holds. So the weights of a sample that was
   sent add up to the requests seen until then, exactly. Making events of it is left to `run_samples`.
4. Where a sample holds nothing (the part was 0, or nobody's hash was low enough) its requests count in the
   weights of the next one. So do those of a sample that is over before the one before it was sent.
5. What clients have sent is bounded. A row that has more than its part is held without it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import orjson
from msgspec.structs import replace

from ekiben.experiments.document import Capture
from ekiben.state.streams.events import Prediction
from router.http.costly import Turns
from router.records.events import Events
from router.records.peers import Peers

_NEVER: Final = 1 << 62
_ABOVE_ALL: Final = "g"  # hashes are hex
_BELOW_ALL: Final = ""
# A second begins with the bar of the last one and some room: what lies above it need not be looked at.
_ROOM: Final = 1.25
_LOOK_EVERY_S: Final = 0.25
# A clock that is set back by less does not let a second begin twice.
_SET_BACK_S: Final = 60.0
# What clients have sent, in all rows of a sample together.
_MAX_BYTES: Final = 32 * 1024 * 1024
# What is made into events without a pause. A row without features costs as much as some bytes with.
_STEP_BYTES: Final = 64 * 1024
_ROW_BYTES: Final = 64

Held = tuple[str, int, Prediction, bytes]
"""A request and its features, or none, after its user's hash and its number in its second."""


class Outbox:
    """The rows of seconds that are over, until they are events."""

    def __init__(self, events: Events) -> None:
        self._add = events.add
        self.batches: deque[tuple[str, float, tuple[str, ...], list[Held]]] = deque()
        """Rows, last first, with their depth, their weight and the names to leave out of features."""

    def send(self, most: float = math.inf) -> None:
        """Make events of so many bytes, and of one row at least."""
        while self.batches and most > 0:
            depth, weight, without, rows = self.batches[0]
            _, _, request, features = rows.pop()
            if not rows:
                self.batches.popleft()
            most -= len(features) + _ROW_BYTES
            event_id = f"{request.prediction_id}.{depth}"
            kept = written(orjson.loads(features), without) if without and features else features.decode()
            self._add(replace(request, event_id=event_id, depth=depth, weight=weight, features=kept or None))


def written(fields: Mapping[str, Any], without: Collection[str]) -> str:
    """A client's object as JSON, without the names that the document leaves out."""
    return orjson.dumps({name: fields[name] for name in fields if name not in without}).decode()


class Reservoir:
    """`size` of any number of requests, each with the same chance. `due` is the number, counted from 1, of
    the next request to take."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self.begin(0)

    def begin(self, size: int) -> None:
        """A second begins."""
        self.size = size
        self.held: list[Held] = []
        self.due = 1 if size else _NEVER
        self._weight = 1.0

    def take(self, request: Held) -> None:
        """Take the request that is due."""
        if len(self.held) < self.size:
            self.held.append(request)
        else:
            self.held[int(self._draw() * self.size)] = request
        self.due = request[1] + 1
        if len(self.held) == self.size:
            self._weight *= math.exp(math.log(1.0 - self._draw()) / self.size)
            skipped = math.log(1.0 - self._draw()) / math.log1p(-min(self._weight, 1.0 - 2.0**-53))
            self.due += int(skipped)


class Lowest:
    """The requests with the lowest keys, `size` at most. Only a key below `bar` is worth taking."""

    def __init__(self) -> None:
        self.size = 0
        self.held: list[Held] = []
        self.begin(0, 0)

    def begin(self, size: int, expected: int) -> None:
        """A second begins in which some `expected` requests come."""
        # A few users may make all requests, and have high hashes. After a second that was not full, this one
        # looks at everybody.
        was_full = len(self.held) == self.size
        self.size = size
        self.held = []
        share = _ROOM * size / expected if expected and was_full else 1.0
        self.bar = _BELOW_ALL if not size else _ABOVE_ALL if share >= 1.0 else f"{int(share * 2**32):08x}"

    def take(self, request: Held) -> None:
        """Take a request whose key lies below the bar."""
        insort(self.held, request)  # numbers differ: requests are never compared
        if len(self.held) > self.size:
            self.held.pop()
        if len(self.held) == self.size:
            self.bar = self.held[-1][0]


class Samples:
    """The samples of one model in one worker. `wanted` may be replaced: it holds from the next second on."""

    def __init__(
        self, wanted: Capture, outbox: Outbox, peers: Peers, draw: Callable[[], float] = random.random
    ) -> None:
        self.wanted = wanted
        self._outbox = outbox
        self._peers = peers
        self._features = Reservoir(draw)
        self._scores = Lowest()
        self._earliest = self._ends = 0.0
        # Those of the samples, where `wants` finds them soonest.
        self._due, self._bar = _NEVER, _BELOW_ALL
        self._seen = 0  # in this second
        self._owed = {"features": 0, "scores": 0}  # seen in earlier ones, and in no weight yet
        self._sent: dict[str, list[Held]] = {"features": [], "scores": []}  # emptied by the outbox
        self._left_out = wanted.without

    def wants(self, at: float, key: str) -> bool:
        """Count a request, and say whether to `take` it.

        The key is the user's hash, or hex digits drawn by chance.
        """
        if not self._earliest <= at < self._ends:
            self.turn(at)
        self._seen = seen = self._seen + 1
        return key < self._bar or seen >= self._due

    def take(self, key: str, request: Prediction, features: bytes) -> None:
        """Take the request that was counted last."""
        if self._seen >= self._due:
            self._features.take(_bounded(key, self._seen, request, features, self._features.size))
            self._due = self._features.due
        if key < self._bar:
            self._scores.take(_bounded(key, self._seen, request, b"", self._scores.size))
            self._bar = self._scores.bar

    def turn(self, at: float) -> None:
        """Put what is held into the outbox and begin the second that `at` lies in, unless it has begun."""
        if self._earliest <= at < self._ends:
            return
        self._put("features", self._features.held)
        self._put("scores", self._scores.held)
        second = math.floor(at)
        self._earliest, self._ends = second - _SET_BACK_S, second + 1.0
        wanted, part = self.wanted, self._peers.part
        self._left_out = wanted.without
        self._features.begin(part(wanted.per_second, second))
        self._scores.begin(part(wanted.scores_per_second, second), self._seen)
        self._due, self._bar, self._seen = self._features.due, self._scores.bar, 0

    def close(self) -> None:
        """Put what is held into the outbox, and take nothing any more."""
        self.wanted, self._sent = Capture(), {"features": [], "scores": []}  # nothing has to wait
        self.turn(self._ends)

    def _put(self, depth: str, held: list[Held]) -> None:
        self._owed[depth] += self._seen
        if held and not self._sent[depth]:
            held.reverse()
            self._outbox.batches.append((depth, self._owed[depth] / len(held), self._left_out, held))
            self._owed[depth], self._sent[depth] = 0, held


def _bounded(key: str, number: int, request: Prediction, features: bytes, rows: int) -> Held:
    if len(features) + len(request.attributes or "") > _MAX_BYTES // rows:
        return key, number, replace(request, attributes=None), b""
    return key, number, request, features


async def run_samples(samples: Callable[[], Iterable[Samples]], outbox: Outbox, turns: Turns) -> None:
    """Send the samples of seconds that are over, also where no request comes any more, until cancelled."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        for each in samples():
            each.turn(time.time())
        while outbox.batches:
            async with turns.turn():
                outbox.send(_STEP_BYTES)
