"""Reading the audit stream: who changed what, when and why, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from ekiben.experiments.changes.differences import data_differences, differences
from ekiben.experiments.changes.releases import read_document
from ekiben.experiments.changes.rules import rule_differences
from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.reports.past import Ending, RuleChange, Step
from ekiben.state.connecting import StateUnavailable, state_answers
from ekiben.state.documents.audit_index import PAGE, AuditIndex
from ekiben.state.documents.document import AUDIT_STREAM, PHASES_KEY
from ekiben.state.entry_id import EntryId

_FETCHED_AT_ONCE: Final = 10
_MOST_MEANWHILE: Final = 50
_LARGEST: Final = 2**64 - 1  # the largest number that Redis takes in an id


@dataclass(frozen=True)
class Entry:
    """One change. `at` is seconds since 1970 by Redis's clock.

    `before` is None for the first document of a lineage, and, like `after`, for one that this release cannot
    read any more.
    """

    id: str
    at: float
    who: str
    why: str
    lineage: str
    revision: int
    before: Document | None
    after: Document | None
    raw: tuple[Any, Any] = field(repr=False)

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """A line for each value that changed."""
        if self.after is None or (self.before is None and self.raw[0] is not None):
            return data_differences(*self.raw)
        return differences(self.before, self.after)

    @property
    def moment(self) -> str:
        """`at` as people read it."""
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d at %H:%M UTC}"

    def experiment(self, key: str) -> tuple[Experiment | None, Experiment | None]:
        """The experiment before and after the change."""
        return (
            self.before.experiments.get(key) if self.before else None,
            self.after.experiments.get(key) if self.after else None,
        )

    def concerns(self, key: str) -> bool:
        """Whether the change touched the experiment."""
        before, after = self.experiment(key)
        return before != after


class Audit:
    """The audit stream in one Redis. Every method raises `StateUnavailable` when Redis is away.

    It remembers which entries touch which experiment: one is shared by all who ask in a process.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._index = AuditIndex(redis, AUDIT_STREAM)

    async def knows(self, experiment: str) -> bool:
        """Whether there ever was such an experiment that ran, or one that this process has read of.

        Looks into no entry: a question about what never was costs nothing.
        """
        if self._index.knows(experiment):
            return True
        with state_answers():
            return bool(await cast("Any", self._redis.hexists(PHASES_KEY, experiment)))

    async def entries(self, limit: int = 50, experiment: str | None = None, before: str = "") -> list[Entry]:
        """At most `limit` changes, newest first, of one experiment when it is named.

        `before` is the id of an entry: only what is older counts, to read page by page.
        """
        found: list[Entry] = []
        entries = self._newest_first(before) if experiment is None else self._of(experiment, before)
        async for entry in entries:
            if experiment is None or entry.concerns(experiment):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    async def newest(self) -> str | None:
        """The id of the last change, None when there was none."""
        with state_answers():
            held = await cast("Any", self._redis.xrevrange(AUDIT_STREAM, count=1))
        return held[0][0].decode() if held else None

    async def after(self, entry_id: str, limit: int) -> list[Entry]:
        """At most `limit` changes after the one of that id, oldest first."""
        with state_answers():
            held = await cast("Any", self._redis.xrange(AUDIT_STREAM, min=f"({entry_id}", count=limit))
        return await asyncio.to_thread(lambda: [_entry(each.decode(), fields) for each, fields in held])

    async def since(self, lineage: str, revision: int) -> list[Entry]:
        """What was changed after `revision` of `lineage`, newest first: the last 50 changes of it."""
        found: list[Entry] = []
        async for entry in self._newest_first(""):
            if entry.lineage != lineage or entry.revision <= revision:
                break
            found.append(entry)
            if len(found) == _MOST_MEANWHILE:
                break
        return found

    async def step(self, experiment: str) -> Step | None:
        """The step of the experiment's ramp. It began when status, coverage, phase or ramp last changed, and
        `widened` when coverage or phase did.

        None when the stream does not know the experiment.
        """
        began: float | None = None
        async for entry in self._of(experiment):
            before, after = entry.experiment(experiment)
            if began is None and _step(before) != _step(after):
                began = entry.at
            if began is not None and _width(before) != _width(after):
                return Step(began=began, widened=entry.at)
        return None if began is None else Step(began=began, widened=began)

    async def ending(self, experiment: str) -> Ending | None:
        """When, by whom and why the experiment ended, and the version that its model serves since.

        None when the stream does not know.
        """
        async for entry in self._of(experiment):
            before, after = entry.experiment(experiment)
            if entry.after is None or after is None or after.status in (Status.DRAFT, *ACTIVE):
                continue
            if before is None or before.status != after.status:
                live = entry.after.models[after.model].live
                return Ending(at=entry.at, moment=entry.moment, who=entry.who, why=entry.why, version=live)
        return None

    async def rule_changes(self, experiment: str) -> tuple[RuleChange, ...]:
        """How the rule of the verdict was changed since the experiment's phase began, newest first."""
        found = []
        async for entry in self._of(experiment):
            before, after = entry.experiment(experiment)
            if before == after:
                continue
            if before is None or after is None:
                break
            if before.phase != after.phase or before.status is Status.DRAFT:
                break
            if lines := rule_differences(before, after):
                found.append(RuleChange(at=entry.at, moment=entry.moment, who=entry.who, lines=lines))
        return tuple(found)

    async def _of(self, experiment: str, before: str = "") -> AsyncIterator[Entry]:
        """The entries that touch an experiment, newest first, and a few that only look as if they did."""
        ids: list[str] = []
        with state_answers():
            await self._index.catch_up()
            if self._index.restored:
                self._index = AuditIndex(self._redis, AUDIT_STREAM)
            async for entry_id in self._index.newest_first(experiment, before):
                ids.append(entry_id)
                if len(ids) == _FETCHED_AT_ONCE:
                    for entry in await self._fetch(ids):
                        yield entry
                    ids.clear()
            for entry in await self._fetch(ids):
                yield entry

    async def _fetch(self, ids: list[str]) -> list[Entry]:
        """The entries of these ids, those that are gone left out."""
        pipeline = self._redis.pipeline(transaction=False)
        for entry_id in ids:
            pipeline.xrange(AUDIT_STREAM, entry_id, entry_id)
        pages = await pipeline.execute()
        return await asyncio.to_thread(
            lambda: [_entry(entry_id.decode(), fields) for page in pages for entry_id, fields in page]
        )

    async def _newest_first(self, before: str) -> AsyncIterator[Entry]:
        limit = EntryId.parse(before) if before else None
        if limit == (0, 0):
            return  # Redis takes it for an error
        newest = "+" if limit is None or max(limit) > _LARGEST else f"({limit}"
        while True:
            with state_answers():
                held = cast("Any", await self._redis.xrevrange(AUDIT_STREAM, max=newest, count=PAGE))
            for entry_id, fields in held:
                yield _entry(entry_id.decode(), fields)
            if len(held) < PAGE:
                return
            newest = f"({held[-1][0].decode()}"


def _step(experiment: Experiment | None) -> object:
    return experiment and (experiment.status, experiment.coverage, experiment.phase, experiment.ramp)


def _width(experiment: Experiment | None) -> object:
    return experiment and (experiment.coverage, experiment.phase)


def _entry(entry_id: str, fields: dict[bytes, bytes]) -> Entry:
    try:
        raw = tuple(orjson.loads(fields[name]) if fields[name] else None for name in (b"before", b"after"))
        return Entry(
            id=entry_id,
            at=float(fields[b"at"]),
            who=fields[b"who"].decode(),
            why=fields[b"why"].decode(),
            lineage=fields[b"lineage"].decode(),
            revision=int(fields[b"revision"]),
            before=_document(raw[0]),
            after=_document(raw[1]),
            raw=(raw[0], raw[1]),
        )
    except (KeyError, ValueError) as error:
        raise StateUnavailable(f"{AUDIT_STREAM} holds {entry_id}, which is not a change: {error}") from error


def _document(data: object) -> Document | None:
    try:
        return None if data is None else read_document(data)[0]
    except DocumentError:
        return None
