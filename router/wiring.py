"""The one place that wires a worker: its settings become connections, parts and background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from functools import lru_cache, partial
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.process.http.names import HostNames, is_loopback
from ekiben.process.http.protocol import BoundedProtocol
from ekiben.process.traces import open_traces
from ekiben.state.beats import Beats
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import DocumentStore
from ekiben.state.documents.held import follow, listen
from ekiben.state.durability import Durability
from ekiben.state.panic import watch_panic
from ekiben.state.user import user_hash, user_salt
from router.beat import beat_on
from router.development import file_alone, file_applier
from router.gauges import Gauges, watch
from router.http.client import open_session
from router.http.costly import Turns
from router.http.keys import Keys
from router.http.web import WebRules
from router.lanes.cache import RedisCache
from router.lanes.lag import LoopLag
from router.lanes.probes import run_probes
from router.lanes.resolve import resolve_host
from router.lanes.routes import RouteBuilder, samples_of
from router.lanes.service import HttpService
from router.records.access_log import AccessLog
from router.records.events import IdMaker, RedisEvents
from router.records.metrics import Metrics
from router.records.outcome_writer import OutcomeWriter
from router.records.peers import Peers
from router.records.samples import run_samples
from router.settings import LAST_STEPS_S, Settings
from router.snapshots import SnapshotSource
from router.worker import Worker

# Whose hashes are remembered: they come back, and a hash takes 2 µs.
_USERS: Final = 20_000


async def open_worker(
    settings: Settings, stack: contextlib.AsyncExitStack, loopback: bool | None = None
) -> Worker:
    """Build a worker from its settings and start it; `stack` stops and closes it.

    `loopback` tells whether only this machine reaches it, where another server than ours listens.
    """
    salt = user_salt(os.environ, settings.data_dir, settings.host)
    metrics = Metrics()
    gauges = Gauges(metrics)
    new_id = IdMaker()
    state = open_state(settings.state_url)
    stack.push_async_callback(state.aclose)
    cache = RedisCache(settings.cache_url, on_failure=lambda what: metrics.cache_failures.labels(what).inc())
    stack.push_async_callback(cache.close)
    session = await stack.enter_async_context(open_session())
    traces = open_traces("ekiben-router", os.environ)
    if traces is not None:
        stack.push_async_callback(asyncio.to_thread, traces.close)
    events = RedisEvents(state, metrics, settings.exposures_max_bytes, new_id)
    BoundedProtocol.bodies.limit = settings.bodies_max_bytes
    durability = Durability(state, settings.state_durable)
    await durability.look()
    turns = Turns()
    outcomes = OutcomeWriter(
        state,
        salt,
        metrics,
        new_id,
        turns=turns,
        replicas=settings.state_replicas,
        refusal=lambda: durability.refusal,
    )
    lag = LoopLag()
    peers = Peers(new_id())
    builder = RouteBuilder(
        lambda spec, url, host=None: HttpService(session, spec, url, host, traces, lag),
        cache,
        metrics,
        events,
        settings.local_cache_entries,
        lag=lag,
        peers=peers,
    )
    loopback = is_loopback(settings.host) if loopback is None else loopback
    # A web page has no key: off loopback, where keys are asked for, any name will do unless some are listed.
    any_name = settings.api_keys and not loopback and not settings.allowed_hosts
    names = None if any_name else HostNames(settings.host, settings.allowed_hosts, loopback=loopback)
    worker = Worker(
        builder,
        events,
        metrics,
        new_id,
        outcomes,
        lru_cache(_USERS)(partial(user_hash, salt)),
        max_body_bytes=settings.max_body_bytes,
        max_elements=settings.max_elements,
        turns=turns,
        keys=Keys.from_setting(settings.api_keys, settings.key_rate),
        traces=traces,
        access_log=AccessLog(settings.access_log_percent / 100, time.monotonic),
        web=WebRules(names, settings.allowed_origins),
        trusts_user_header=settings.user_id_from == "header",
        # Where endpoints are, and how reaching them fails, is a map of the network behind the router.
        shows_addresses=loopback or bool(settings.api_keys),
        dependencies={"cache": cache.ping, "state": lambda: _ping(state)},
        durability=durability,
    )
    documents = DocumentStore(state)
    applier = file_applier(documents, state, settings)
    alone = file_alone(settings)
    source = SnapshotSource(
        documents, settings.data_dir / "snapshot.json", worker.adopt, applier=applier, alone=alone
    )
    worker.trouble = lambda: source.trouble
    worker.file = lambda: source.file
    await source.start()
    changed = asyncio.Event()
    worker.keep("listening for changes", lambda: listen(state, changed))
    worker.keep("following the experiments", lambda: follow(source.sync, changed))
    worker.keep(
        "probing",
        lambda: run_probes(lambda: worker.routes, lambda routes: builder.resolve(routes, resolve_host)),
    )
    worker.keep("watching the panic file", lambda: watch_panic(settings.panic_file, worker.panic))
    worker.keep("sending events", events.run)
    worker.keep("writing outcomes", outcomes.run)
    worker.keep("checking durability", durability.run)
    worker.keep("counting", metrics.run)
    worker.keep("measuring the loop", lambda: lag.run(metrics.loop_lag.observe_all))
    worker.keep("gauges", lambda: watch(gauges, worker, source, events))
    worker.keep("sampling", lambda: run_samples(lambda: samples_of(worker.routes), builder.outbox, turns))
    worker.keep("beating", lambda: beat_on(Beats(state), worker, events, peers))
    stack.push_async_callback(worker.stop, LAST_STEPS_S)  # the server has waited for what is in flight
    return worker


async def _ping(redis: Redis) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await redis.ping()
    except (RedisError, OSError, TimeoutError):
        return False
    return True
