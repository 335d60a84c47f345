"""Telling others what was done: a CloudEvents 1.0 request (HTTP, structured mode) for each act.

1. What is told comes from the audit stream, whoever acted: a ramp, a person or a file. So nothing is told
   that was not done, and an act is told in which this controller had no part.
2. How far it has come is in Redis and is written after the receiver has answered, under the lease. An act is
   told again, with the same `id` and `source`, only if a controller dies between the two.
3. A receiver that does not answer is asked again, ever more rarely, and the acts wait in their order. Nothing
   else waits for it.
4. It begins with what happens after it was first switched on.

An edit of the experiments file that is refused changes nothing and is in no audit. It is told once for each
set of reasons, until a file is in force again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from redis.exceptions import RedisError

from ekiben.control.desk import Desk
from ekiben.experiments.changes.acts import act_of
from ekiben.process.http.client import NoAnswer, Redirected, ask
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.audit import Entry
from ekiben.state.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

NOTIFIED_KEY: Final = "ekiben:notified"
"""A hash: `after`, the last audit entry that was told, and `refused`, the last refusal that was."""

_TIMEOUT_S: Final = 10.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 300.0
_AT_ONCE: Final = 20
_RETRY_LEASE_S: Final = 1.0

Event = Mapping[str, Any]


def events_of(entry: Entry) -> Iterator[Event]:
    """The events of one change: one for each experiment that something was done to."""
    if entry.after is None:
        return
    for key, after in entry.after.experiments.items():
        before = entry.before.experiments.get(key) if entry.before is not None else None
        if (act := act_of(before, after)) is not None:
            yield _event(
                entry.id,
                f"/ekiben/experiments/{key}",
                f"ekiben.experiment.{act}",
                entry.at,
                {
                    "experiment": key,
                    "model": after.model,
                    "status": str(after.status),
                    "coverage": after.coverage,
                    "retired": [name for name, each in after.variants.items() if each.retired],
                    "live": entry.after.models[after.model].live,
                    "who": entry.who,
                    "why": entry.why,
                    "revision": entry.revision,
                },
            )


class Notifier:
    """Tells the receiver at `url` while `lease` is held. A `token` is sent as a bearer token."""

    def __init__(self, desk: Desk, lease: Lease, url: str, token: str = "") -> None:
        self._desk = desk
        self._lease = lease
        self._url = url
        self._headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._wait_s = _FIRST_WAIT_S
        self.failing: str | None = None
        """Why the receiver was not told what it should know."""

    async def run(self, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Tell whatever happens, until cancelled."""
        seen = -1
        while True:
            try:
                told = await self.round()
            except LeaseLost:
                told = True
            except (StateUnavailable, RedisError, OSError) as error:
                log.warning("notifications wait for the state Redis: %s", error)
                told = False
            if told:
                self._wait_s = _FIRST_WAIT_S
                seen = await self._desk.wait_for_change(seen)
            else:
                await sleep(self._wait_s)
                self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)

    async def round(self) -> bool:
        """Tell what has happened since; whether the receiver knows all of it.

        Raises `LeaseLost`, `StateUnavailable` and redis's errors.
        """
        if not self._lease.held():
            self.failing = None
            return True
        held = await cast("Any", self._desk.redis.hgetall(NOTIFIED_KEY))
        after = held.get(b"after", b"").decode()
        if not after:
            await self._know(after=await self._desk.audit.newest() or "0-0")
            return True
        while entries := await self._desk.audit.after(after, _AT_ONCE):
            for entry in entries:
                for event in events_of(entry):
                    if not await self._tell(event):
                        return False
                after = entry.id
                await self._know(after=after)
        return await self._tell_refusal(held.get(b"refused", b"").decode())

    async def _tell_refusal(self, known: str) -> bool:
        standing = self._desk.file()
        if standing is None or standing.state not in ("refused", "in force"):
            return True
        refused = ""
        if standing.state == "refused":
            refused = hashlib.sha256("\n".join((standing.file, *standing.lines)).encode()).hexdigest()[:32]
        if refused == known:
            return True
        if refused:
            data = {"file": standing.file, "problems": list(standing.lines)}
            source, kind = "/ekiben/experiments-file", "ekiben.experiments_file.refused"
            if not await self._tell(_event(refused, source, kind, standing.since, data)):
                return False
        await self._know(refused=refused)
        return True

    async def _tell(self, event: Event) -> bool:
        body = json.dumps(event).encode()
        try:
            answer = await asyncio.to_thread(ask, self._url, body, self._headers, _TIMEOUT_S)
            why = None if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except (NoAnswer, Redirected) as error:
            why = str(error)
        if why is not None and self.failing != why:
            log.warning("the receiver of notifications does not take them: %s", why)
        if why is None and self.failing is not None:
            log.info("the receiver of notifications takes them again")
        if why != self.failing:
            self.failing = why
            self._desk.touch()
        return why is None

    async def _know(self, **fields: str) -> None:
        await self._lease.write(NOTIFIED_KEY, fields)


def _event(event_id: str, source: str, kind: str, at: float, data: Mapping[str, Any]) -> Event:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": kind,
        "time": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "datacontenttype": "application/json",
        "data": data,
    }
