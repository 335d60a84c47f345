"""A state Redis that forgets, lags or fills up, and a clock that is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml
from redis import Redis

from ekiben.state.documents.document import DOCUMENT_KEY
from ekiben.state.embedded import EmbeddedRedis
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from tests.ports import free_port
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.beside import Other
from tests.proofs.attacks.installation import Installation, put_in
from tests.proofs.attacks.wire import Answer, get, post
from tests.proofs.faults.processes import ROOT, RedisServer
from tests.proofs.faults.station import EXPERIMENT
from tests.state.reading import events_in

_KEEPS: Final = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
_DAYS_AHEAD: Final = 500


def _outcome(port: int, number: int = 0) -> Answer:
    item = {"user_id": "user-1", "name": "profit", "value": number, "id": f"state-{number}"}
    return post(port, "/outcomes", {"outcomes": [item]})


def _redis(installation: Installation, stack: ExitStack, name: str, *settings: str) -> RedisServer:
    folder = installation.folder / f"{name}-{time.monotonic_ns() % 10**6}"
    folder.mkdir()
    server = RedisServer(name, folder, installation.logs, settings)
    stack.callback(server.terminate, 2.0)
    stack.callback(server.go_on)
    server.start()
    return server


def badly_kept(*settings: str) -> Callable[[Installation], Found]:
    """A state Redis with these settings: what is confirmed would be lost."""

    def run(installation: Installation) -> Found:
        with ExitStack() as stack:
            server = _redis(installation, stack, "careless", *settings)
            other = stack.enter_context(installation.other(EKIBEN_STATE_URL=server.url))
            installation.comes_true(lambda: get(other.port, "/readyz").status == 200)
            answer = _outcome(other.port)
        reason = str((answer.data or {}).get("detail", ""))
        return Found(answer.status == 503 and bool(reason), f"{answer.status} {reason[:80]}".strip())

    return run


def confirmed_by_a_replica(installation: Installation) -> Found:
    """Outcomes while the replica stands still, and afterwards; then the primary is lost."""
    with ExitStack() as stack:
        primary, replica = _pair(installation, stack)
        other = stack.enter_context(
            installation.other(EKIBEN_STATE_URL=primary.url, EKIBEN_STATE_REPLICAS="1")
        )
        confirmed = [number for number in range(20) if _outcome(other.port, number).status == 202]
        replica.pause()
        unsure = [_outcome(other.port, number).status for number in range(20, 23)]
        primary.kill()
        replica.go_on()
        with replica.client() as client:
            entries: Any = client.xrange(OUTCOMES_STREAM)
        kept = {event.event_id for event in events_in(entries)}
    lost = sum(not any(f"state-{number}" in str(event_id) for event_id in kept) for number in confirmed)
    return Found(
        len(confirmed) == 20 and lost == 0 and set(unsure) == {503},
        f"{len(confirmed)} confirmed, {lost} of them lost; while it stood still: {sorted(set(unsure))}",
    )


def rolled_back_on_a_primary_that_is_lost(installation: Installation) -> Found:
    """An experiment is rolled back; then a replica that has not heard of it is made the primary, and has
    gone on to a higher revision.
    """
    with ExitStack() as stack:
        primary, replica = _pair(installation, stack)
        other = stack.enter_context(installation.other(EKIBEN_STATE_URL=primary.url))
        installation.wait(lambda: get(other.port, "/readyz").status == 200, "the other router is not ready")
        put_in(primary.url, installation.document())
        installation.wait(lambda: _takes_part(other), "the experiment does not run")
        with replica.client() as client:
            installation.wait(lambda: client.exists(DOCUMENT_KEY) == 1, "nothing was replicated")
            client.execute_command("REPLICAOF", "NO", "ONE")
        put_in(primary.url, installation.document(status="rolled_back"))
        installation.wait(lambda: not _takes_part(other), "it was not rolled back")
        for coverage in (90.0, 95.0, 100.0):
            put_in(replica.url, installation.document(coverage=coverage))
        primary.kill()
        Path(primary.socket).unlink(missing_ok=True)
        Path(replica.socket).rename(primary.socket)
        runs_again = installation.comes_true(lambda: _takes_part(other), 5.0)
    return Found(not runs_again, "the rolled-back experiment " + ("runs again" if runs_again else "stays so"))


def _pair(installation: Installation, stack: ExitStack) -> tuple[RedisServer, RedisServer]:
    port = str(free_port())
    primary = _redis(installation, stack, "primary", *_KEEPS, "--port", port, "--bind", "127.0.0.1")
    replica = _redis(
        installation, stack, "replica", *_KEEPS, "--replicaof", "127.0.0.1", port,
        "--replica-read-only", "no",
    )  # fmt: skip

    def in_step() -> bool:
        with replica.client() as client:
            info: Any = client.info("replication")
            return info["role"] == "slave" and info["master_link_status"] == "up"

    installation.wait(in_step, "the replica does not follow")
    return primary, replica


def _takes_part(other: Other) -> bool:
    said = get(other.port, f"/assignment/{EXPERIMENT}?user_id=user-1").data or {}
    return bool(said.get("in_experiment"))


def memory_without_a_limit(installation: Installation) -> Found:
    """The state Redis of the compose file, and the embedded one."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    in_compose = "--maxmemory" in compose["services"]["redis-state"]["command"]
    with (
        EmbeddedRedis(installation.folder / "embedded") as redis,
        Redis.from_url(redis.addresses.state_url) as client,
    ):
        bytes_most = int(client.config_get("maxmemory")["maxmemory"])
    limits = (
        "limited" if in_compose else "no limit",
        f"{bytes_most // 2**20} MiB" if bytes_most else "no limit",
    )
    return Found(
        in_compose and bytes_most > 0,
        f"compose: {limits[0]}, embedded: {limits[1]}",
    )


def clock_ahead(installation: Installation) -> Found:
    """A controller whose clock is 500 days ahead leads, beside event files of today."""
    for number in range(20):
        features = {"row": f"clock-{number}", "amount": 1}
        post(installation.port, "/predict/credit", {"user_id": f"user-{number}", "features": features})

    def files() -> int:
        return len(list(installation.events.rglob("*.parquet")))

    installation.wait(lambda: files() > 0, "nothing was recorded")
    installation.controller.terminate(10.0)
    before = files()
    with installation.other("tests.proofs.attacks.ahead", ATTACKS_DAYS_AHEAD=str(_DAYS_AHEAD)) as other:
        removed = installation.comes_true(lambda: files() < before, 8.0)
        told = "clock" in other.said()
    gone = max(before - files(), 0)
    return Found(
        not removed and told,
        f"{gone} of {before} files removed, {'reported' if told else 'nothing'} in the log",
    )


ATTACKS: Final = (
    Attack(
        "B14",
        "outcomes while a replica lags, then a failover",
        "none that got 202 lost",
        confirmed_by_a_replica,
    ),
    Attack(
        "B14",
        "rolled back, then a failover to a replica that did not hear of it",
        "stays rolled back",
        rolled_back_on_a_primary_that_is_lost,
    ),
    Attack("B15", "a state Redis that fills up", "has a limit", memory_without_a_limit),
    Attack("B18", "a controller's clock 500 days ahead", "no file removed, reported", clock_ahead),
    Attack("B29", "a state Redis without an append-only file", "503, why", badly_kept("--appendonly", "no")),
    Attack(
        "B29",
        "a state Redis that syncs once a second",
        "503, why",
        badly_kept("--appendonly", "yes", "--appendfsync", "everysec"),
    ),
    Attack(
        "B29",
        "a state Redis that evicts",
        "503, why",
        badly_kept("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "allkeys-lru"),
    ),
)
