"""What each step of the hot path costs: `python -m loadtests.bench.steps`, in process, no sockets.

Every step is timed alone on the same requests; the sum of them and the whole are of one run, so that their
difference shows what lies between the steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from statistics import median
from typing import Any, Final

import orjson
import uvloop
from msgspec.structs import astuple

from ekiben.experiments.document import Capture
from ekiben.experiments.parsing import parse_document
from ekiben.state.documents.document import Stored
from ekiben.state.streams.blocks import encode_block
from ekiben.state.streams.events import Prediction
from ekiben.state.user import user_hash
from loadtests.bench.document import document
from loadtests.bench.streams import HELD_OUT, read_rows
from router.app import RouterApp
from router.doors.envelope import parse_envelope, row_digest
from router.doors.native import render
from router.http.asgi import Request
from router.lanes.answer import Served
from router.lanes.cache import InMemoryCache
from router.lanes.routes import RouteBuilder
from router.lanes.service import InMemoryService
from router.prediction import Ask, Reply
from router.records.events import IdMaker, InMemoryEvents
from router.records.metrics import Metrics
from router.records.outcome_writer import InMemoryOutcomes
from router.records.peers import AGREED_AFTER_S, Peers
from router.records.samples import Outbox, Samples
from router.worker import Worker

REQUESTS: Final = 20_000
APPLICANTS: Final = 1_000
ROUNDS: Final = 5
_AT: Final = 1_795_262_400.0
_ANSWER: Final = {"ok": {"probability_bad": 0.279551, "decision": "decline"}}


async def _discard(_message: MutableMapping[str, Any]) -> None:
    pass


async def _open(events: InMemoryEvents) -> tuple[RouterApp, Worker]:
    metrics = Metrics()
    builder = RouteBuilder(
        lambda _spec, _url, _host=None: InMemoryService(lambda _row: _ANSWER),
        InMemoryCache(),
        metrics,
        events,
        APPLICANTS,
    )
    worker = Worker(
        builder,
        events,
        metrics,
        IdMaker(),
        max_body_bytes=1 << 20,
        outcomes=InMemoryOutcomes(),
        hash_user=lru_cache(APPLICANTS)(partial(user_hash, b"salt")),
    )

    async def open_worker(_stack: contextlib.AsyncExitStack) -> Worker:
        return worker

    app = RouterApp(open_worker)
    await app.startup()
    worker.adopt(Stored("bench", 1, "", parse_document(document({"v1": "http://a:1", "v2": "http://b:1"}))))
    await asyncio.sleep(0.1)  # the probes of the new endpoints
    return app, worker


def _timed(step: Callable[[int], object], calls: int = REQUESTS) -> float:
    """Microseconds a call, the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for number in range(calls):
            step(number)
        rounds.append((time.perf_counter() - begun) / calls * 1e6)
    return median(rounds)


async def _timed_whole(request: Callable[[int], Awaitable[None]]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for number in range(REQUESTS):
            await request(number)
        rounds.append((time.perf_counter() - begun) / REQUESTS * 1e6)
    return median(rounds)


async def measure() -> list[tuple[str, float]]:
    """Pairs of a step and its cost in microseconds; the last is the whole cached request."""
    rows = read_rows(HELD_OUT)[:APPLICANTS]
    bodies = [orjson.dumps({"user_id": f"u-{n}", "features": row}) for n, row in enumerate(rows)]
    rows_sent = [parse_envelope(body, None)[0] for body in bodies]
    digests = [row_digest(row) for row in rows_sent]
    events = InMemoryEvents()
    app, worker = await _open(events)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict/credit",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }

    async def whole(number: int) -> None:
        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": bodies[number % APPLICANTS], "more_body": False}

        await app(scope, receive, _discard)

    for number in range(APPLICANTS):
        await whole(number)  # from here on every answer is in the worker's own cache
    route = worker.routes["credit"]
    lane = route.versions["v1"].lane
    answered = next(answer for answer in map(lane.recall, digests) if answer is not None)
    metrics = route.versions["v1"].metrics
    ask = Ask(route, "u-17", b"{}", digests[0], 0.0, 1.0, worker.new_id())
    served = Served(answered, "local")
    reply = Reply(served, "cached", "v1", route.plan.assign("u-17"), worker.new_id())

    fields = astuple(events.held[-1])
    block = [events.held[-1]] * 500
    steps: list[tuple[str, float]] = [
        ("request: headers, ids", _timed(lambda n: Request(scope, _never, _discard, worker.new_id))),
        ("1 parse", _timed(lambda n: parse_envelope(bodies[n % APPLICANTS], None))),
        ("1 digest", _timed(lambda n: row_digest(rows_sent[n % APPLICANTS]))),
        ("2 assign", _timed(lambda n: route.plan.assign(f"u-{n % APPLICANTS}"))),
        ("3 recall", _timed(lambda n: lane.recall(digests[n % APPLICANTS]))),
        ("6 respond: the body", _timed(lambda n: render(ask, reply, served))),
        ("7 record: metrics", _timed(lambda _: metrics.answered("cached", True, 0.001))),
        ("7 record: the user's hash", _timed(lambda n: user_hash(b"salt", "u-17"))),
        (
            "7 record: its part of a block of 500",
            _timed(lambda _: encode_block("id", block), 50) / len(block),
        ),
        ("7 capture: a request that is not captured", _not_captured()),
        ("7 capture: one with its features", _captured(rows_sent[0], fields, per_second=100)),
        ("7 capture: one without", _captured(rows_sent[0], fields, scores_per_second=100)),
    ]
    return [*steps, ("the whole cached request", await _timed_whole(whole))]


def _agreed() -> Peers:
    """One worker that has known for long enough that it is alone."""
    now = 0.0
    peers = Peers("bench", lambda: now)
    peers.know(["bench"], asked=0.0)
    now = AGREED_AFTER_S
    return peers


def _not_captured() -> float:
    """A request of a second in which the samples are full."""
    samples = Samples(Capture(per_second=5, scores_per_second=500), Outbox(InMemoryEvents()), _agreed())
    keys = [f"{number:08x}" for number in range(REQUESTS)]
    for key in keys:
        if samples.wants(_AT, key):
            samples.take(key, Prediction(key, _AT, key, key), b"{}")
    return _timed(lambda n: samples.wants(_AT, keys[n]))


def _captured(features: bytes, request: tuple[Any, ...], **budget: int) -> float:
    """A request that is captured: seen, taken and, when its second is over, sent."""
    outbox = Outbox(InMemoryEvents())
    samples = Samples(Capture(**budget, without=("amount",)), outbox, _agreed())

    def second(number: int) -> None:
        at = _AT + number
        for _ in range(100):
            if samples.wants(at, "5"):
                samples.take("5", Prediction(*request), features)
        outbox.send()

    return _timed(second, REQUESTS // 100) / 100


async def _never() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is received here")


def main() -> None:
    """Print the table."""
    for step, cost in uvloop.run(measure()):
        print(f"{step:40} {cost:6.2f} µs")  # noqa: T201 - the program's output


if __name__ == "__main__":
    main()
