"""Every change that people make, by whatever door: the admin API and the dashboard call these.

A change is a compare-and-set. With a revision it is made on that one or not at all; without one it is decided
anew on what is there now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypedDict, Unpack

from pydantic import ValidationError

from ekiben.control.desk import Desk
from ekiben.experiments.changes import actions
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.consequences import consequence
from ekiben.experiments.changes.differences import differences
from ekiben.experiments.document import Document, Ramp
from ekiben.experiments.problems import DocumentError, from_validation, problem, unknown
from ekiben.state.documents.applying import NOT_KNOWN, last_text, merge_text
from ekiben.state.documents.audit import Entry
from ekiben.state.documents.document import Conflict, Stored
from ekiben.state.documents.experiments_file import ExperimentsFile

_ATTEMPTS: Final = 20


class NoDocument(Exception):
    """There are no experiments yet."""


class UnknownExperiment(Exception):
    """No experiment has this key."""


class Stale(Exception):
    """The document is no longer at the revision that the change was decided on.

    `revision` is where it is now, `meanwhile` what was changed since, newest first.
    """

    def __init__(self, asked: int, revision: int, meanwhile: list[Entry]) -> None:
        super().__init__(
            f"the experiments are at revision {revision}, not {asked}: look again and decide anew"
        )
        self.revision = revision
        self.meanwhile = meanwhile


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a change and why; on which revision; and whether only to tell what would change."""

    who: str
    why: str
    revision: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed, or would be: the lines, what they mean for users, and the revision: of the document
    after the change, or, where nothing was changed, of the one that was looked at.
    """

    revision: int
    changes: tuple[str, ...]
    consequence: str | None
    done: bool


class RampFields(TypedDict, total=False):
    """The parts of a ramp that are to be other than they are."""

    steps: tuple[float, ...]
    every: str
    min_users_per_step: int
    guardrails: tuple[str, ...] | None
    then: str


class Verbs:
    """The changes, on the document that `desk` looks at.

    Every method raises DocumentError for what is not possible, `UnknownExperiment`, `NoDocument`, `Stale`,
    and `StateUnavailable`.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._audit = desk.audit

    async def apply(self, document: Document, order: Order) -> Change:
        """Replace the whole document, also in a Redis without one. A file goes by `apply_file`."""

        def action(before: Document) -> Document:
            check_change(before, document)
            return document

        if await self._desk.store.load() is None:
            return await self._apply_first(document, order)
        return await self._change(None, action, order)

    async def apply_file(self, file: ExperimentsFile, order: Order) -> Change:
        """Apply what a file changes of the one that was applied last, also in a Redis without a document.

        Where that one is not known, the whole document becomes the file's, once somebody has looked at what
        that changes: `order` names the revision.
        """

        async def action(held: Stored) -> Document:
            last = file.document if file.digest == held.applied else await last_text(held)
            looked = order.dry_run or order.revision is not None
            if last is None and not looked and differences(held.document, file.document):
                raise DocumentError([NOT_KNOWN])
            return await merge_text(self._desk.store, held, last or held.document, file.document)

        if await self._desk.store.load() is None:
            return await self._apply_first(file.document, order, file)
        return await self._decide(None, action, order, file)

    async def start(self, key: str, order: Order) -> Change:
        """A draft begins to assign users."""
        return await self._change(key, lambda document: actions.start(document, key), order)

    async def pause(self, key: str, order: Order) -> Change:
        """Everyone gets live until it is resumed."""
        return await self._change(key, lambda document: actions.pause(document, key), order)

    async def resume(self, key: str, order: Order) -> Change:
        """A paused experiment goes on."""
        return await self._change(key, lambda document: actions.resume(document, key), order)

    async def roll_back(self, key: str, order: Order) -> Change:
        """It ends with the control."""
        return await self._change(key, lambda document: actions.roll_back(document, key), order)

    async def promote(self, key: str, order: Order, variant: str | None = None) -> Change:
        """It ends with a treatment, whose version becomes live."""
        return await self._change(key, lambda document: actions.promote(document, key, variant), order)

    async def set_ramp(self, key: str, order: Order, **fields: Unpack[RampFields]) -> Change:
        """Give it a ramp, or change the fields that are named of the one it has."""

        def action(document: Document) -> Document:
            held = actions.find_experiment(document, key).ramp
            data = {**(held.model_dump() if held else {}), **fields}
            try:
                ramp = Ramp.model_validate(data)
            except ValidationError as error:
                path = ("experiments", key, "ramp")
                found = from_validation(Ramp, path, error)
                raise DocumentError(problem(*each) for each in found) from None
            return actions.set_ramp(document, key, ramp)

        return await self._change(key, action, order)

    async def end_ramp(self, key: str, order: Order) -> Change:
        """Take its ramp away: coverage stays where it is."""
        return await self._change(key, lambda document: actions.set_ramp(document, key, None), order)

    async def acknowledge(self, key: str, order: Order, model_versions: Iterable[str] = ()) -> Change:
        """Somebody has looked at these redeployments; without names at all that the last report shows."""
        named = tuple(model_versions)
        report = self._desk.reports.get(key)
        if not named and report is not None:
            named = tuple(each.model_version for each in report.redeployments if not each.acknowledged)
        return await self._change(key, lambda document: actions.acknowledge(document, key, named), order)

    async def shadow(
        self, model: str, version: str, percent: float, order: Order, endpoints: Iterable[str] = ()
    ) -> Change:
        """Copy a share of a model's requests to a version."""
        urls = tuple(endpoints)
        return await self._change(
            None, lambda document: actions.shadow(document, model, version, percent, urls), order
        )

    async def forget_overrides(self, user_id: str, order: Order) -> Change:
        """No experiment names this user any more."""
        return await self._change(None, lambda document: actions.forget_user(document, user_id), order)

    async def _change(self, key: str | None, action: Callable[[Document], Document], order: Order) -> Change:
        async def decide(held: Stored) -> Document:
            return action(held.document)

        return await self._decide(key, decide, order)

    async def _decide(
        self,
        key: str | None,
        action: Callable[[Stored], Awaitable[Document]],
        order: Order,
        file: ExperimentsFile | None = None,
    ) -> Change:
        store = self._desk.store
        for attempt in range(_ATTEMPTS):
            held = await store.load()
            if held is None:
                raise NoDocument("there are no experiments yet: apply a file")
            await self._check_revision(held, order)
            if key is not None and key not in held.document.experiments:
                raise UnknownExperiment(
                    held.kept.not_run.get(key) or unknown("experiment", key, held.document.experiments)
                )
            after = await action(held)
            await store.check(held, after)
            lines = differences(held.document, after)
            meaning = consequence(held.document, after, key) if key is not None else None
            if order.dry_run or not (lines or file):
                return Change(held.revision, lines, meaning, done=False)
            try:
                if file is not None and not lines:
                    await store.note_text(held, file.text)
                    return Change(held.revision, lines, meaning, done=False)
                text = file.text if file is not None else None
                new = await store.change(held, after, who=order.who, why=order.why, text=text)
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return Change(new.revision, lines, meaning, done=True)
        raise AssertionError("the loop returns or raises")

    async def _apply_first(
        self, document: Document, order: Order, file: ExperimentsFile | None = None
    ) -> Change:
        check_change(None, document)
        await self._desk.store.check(None, document)
        lines = differences(None, document)
        if order.revision:
            raise Stale(order.revision, 0, [])
        if order.dry_run:
            return Change(0, lines, None, done=False)
        text = file.text if file is not None else None
        new = await self._desk.store.change(None, document, who=order.who, why=order.why, text=text)
        return Change(new.revision, lines, None, done=True)

    async def _check_revision(self, held: Stored, order: Order) -> None:
        if order.revision is not None and order.revision != held.revision:
            meanwhile = await self._audit.since(held.lineage, order.revision)
            raise Stale(order.revision, held.revision, meanwhile)
