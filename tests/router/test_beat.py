"""What a worker tells of itself is what it has done."""

from __future__ import annotations

import os
import socket
import time

from ekiben.state.beats import Beat
from router.beat import make_beat
from router.errors import OutcomesRefused
from router.records.metrics import SECONDS
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle


class Counts:
    sent = 5
    dropped = 2
    waiting = 1


def beat(router: Router) -> Beat:
    return make_beat(router.worker, "w-1", Counts())


async def test_it_says_who_and_what_it_routes_by(router: Router) -> None:
    found = beat(router)
    assert (found.worker, found.host, found.pid) == ("w-1", socket.gethostname(), os.getpid())
    assert router.worker.started_at == found.started_at <= found.at <= time.time()
    assert (found.lineage, found.revision, found.loopback, found.outcomes_open) == ("here", 1, True, True)
    first = found.adopted_at
    assert first is not None
    router.adopt(credit_document(), revision=9)
    again = beat(router)
    assert again.revision == 9
    assert again.adopted_at is not None
    assert again.adopted_at >= first


async def test_a_worker_without_experiments_says_so() -> None:
    async with build_app(None, {}, probed=False) as router:
        found = beat(router)
        assert (found.lineage, found.revision, found.adopted_at, found.versions) == (None, None, None, {})


async def test_requests_are_counted_by_the_version_they_were_assigned(router: Router, v2: Service) -> None:
    for number in (1, 1, 2):
        await router.client.predict("u-control", {"row": number})
    await router.client.predict("u-control", {"refuse": True})
    v2.die()
    await router.client.predict("u-treatment", {"row": 7})
    await router.client.predict("u-control", {"fail": True})
    versions = beat(router).versions
    control, treatment = versions["credit/v1"], versions["credit/v2"]
    assert (control.served, control.cached, control.refused, control.error) == (2, 1, 1, 1)
    assert (treatment.served, treatment.fallback) == (0, 1)
    assert control.local_hits == 1
    assert control.redis_misses > 0
    assert control.calls >= control.call_rows > 0 or control.call_rows >= control.calls > 0
    assert versions["credit/v3"].requests == 0


async def test_the_duration_of_every_answer_is_in_one_bucket(router: Router) -> None:
    for number in range(20):
        await router.client.predict("u-control", {"row": number})
    found = beat(router)
    version = found.versions["credit/v1"]
    assert found.seconds_bounds == list(SECONDS)
    assert len(version.seconds_buckets) == len(SECONDS) + 1
    assert sum(version.seconds_buckets) == 20
    assert version.seconds_sum > 0


async def test_numbers_only_grow(router: Router) -> None:
    await router.client.predict("u-control", {"row": 1})
    before = beat(router).versions["credit/v1"]
    await router.client.predict("u-control", {"row": 2})
    after = beat(router).versions["credit/v1"]
    assert (before.served, after.served) == (1, 2)


async def test_endpoints_tell_their_breakers_state(router: Router, v2: Service) -> None:
    v2.die()
    for number in range(5):
        await router.client.predict("u-treatment", {"row": number})
    ((one,), (other,)) = (beat(router).versions[f"credit/{name}"].endpoints for name in ("v1", "v2"))
    assert (one.url, one.healthy, one.breaker) == (V1, True, "closed")
    assert (other.url, other.healthy, other.breaker) == (V2, False, "open")


async def test_shadow_copies_are_counted_where_they_were_answered(v1: Service, v3: Service) -> None:
    services = {V1: v1, V2: Service("v2"), V3: v3}
    async with build_app(credit_document(shadow={"v3": 100}), services) as router:
        await router.client.predict("u-control", {"row": 1})
        await settle()
        await router.client.predict("u-control", {"row": 2})
        await settle()
        v3.die()
        await router.client.predict("u-control", {"row": 3})
        await settle()
        shadow = beat(router).versions["credit/v3"]
        assert (shadow.shadow_compared, shadow.shadow_disagreed, shadow.shadow_failed) == (2, 0, 1)
        assert shadow.requests == 0


async def test_events_outcomes_draining_and_panic_are_told(router: Router) -> None:
    router.worker.metrics.outcomes_written(30, [0.1, 0.2])
    router.outcomes.failure = OutcomesRefused([])
    await router.client.post("/outcomes", b'{"outcomes": []}')
    router.worker.panic(frozenset({"credit"}))
    router.app.drain()
    found = beat(router)
    assert (found.events_sent, found.events_dropped, found.events_waiting) == (5, 2, 1)
    assert (found.outcomes_accepted, found.outcomes_refused, found.outcomes_waiting) == (30, 1, 0)
    assert (found.draining, found.panic) == (True, ["credit"])
