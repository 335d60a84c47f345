"""Every change that people make, through the admin API or the dashboard.

A change is a compare-and-set. With a revision it is made on that one or not at all; without one it is decided
on what is there now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ekiben.control.desk import Desk
from ekiben.experiments.changes import edits
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.differences import differences
from ekiben.experiments.changes.fields import Fields
from ekiben.experiments.changes.verbs import Verb
from ekiben.experiments.document import Document
from ekiben.experiments.problems import DocumentError, unknown
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
            f"the experiments are at revision {revision}, not {asked}: look again and decide again"
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


class Editor:
    """The changes, on the document that `desk` looks at.

    Every method raises DocumentError for what is not possible, `UnknownExperiment`, `NoDocument`, `Stale`,
    and `StateUnavailable`.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def apply(self, document: Document, order: Order) -> Change:
        """Replace the whole document, also in a Redis without one. A file goes by `apply_file`."""

        def action(before: Document) -> Document:
            check_change(before, document)
            return document

        return await self._change(action, order, first=document)

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

        return await self._decide(action, order, file, first=file.document)

    async def act(self, verb: Verb, key: str, body: Fields, order: Order) -> Change:
        """Do what a verb does with the experiment of that key."""
        report = self._desk.reports.get(key)

        async def action(held: Stored) -> Document:
            if key not in held.document.experiments:
                raise UnknownExperiment(
                    held.kept.not_run.get(key) or unknown("experiment", key, held.document.experiments)
                )
            return verb.act(held.document, key, body, report)

        return await self._decide(
            action, order, meaning=lambda before, after: verb.meaning(before, after, key)
        )

    async def shadow(
        self, model: str, version: str, percent: float, order: Order, endpoints: Iterable[str] = ()
    ) -> Change:
        """Copy a share of a model's requests to a version."""
        urls = tuple(endpoints)
        return await self._change(
            lambda document: edits.shadow(document, model, version, percent, urls), order
        )

    async def forget_overrides(self, user_id: str, order: Order) -> Change:
        """No experiment names this user any more."""
        return await self._change(lambda document: edits.forget_user(document, user_id), order)

    async def _change(
        self, action: Callable[[Document], Document], order: Order, first: Document | None = None
    ) -> Change:
        async def decide(held: Stored) -> Document:
            return action(held.document)

        return await self._decide(decide, order, first=first)

    async def _decide(
        self,
        action: Callable[[Stored], Awaitable[Document]],
        order: Order,
        file: ExperimentsFile | None = None,
        first: Document | None = None,
        meaning: Callable[[Document, Document], str | None] = lambda _before, _after: None,
    ) -> Change:
        """Change what is there by `action`; where there is nothing, `first` becomes the document."""
        store, text = self._desk.store, file.text if file is not None else None
        for attempt in range(_ATTEMPTS):
            held = await store.load()
            if held is not None:
                await self._check_revision(held, order)
                after = await action(held)
            elif first is None:
                raise NoDocument("there are no experiments yet: apply a file")
            elif order.revision:
                raise Stale(order.revision, 0, [])
            else:
                check_change(None, after := first)
            await store.check(held, after)
            lines = differences(held.document if held else None, after)
            means = meaning(held.document, after) if held else None
            unchanged = Change(held.revision if held else 0, lines, means, done=False)
            if order.dry_run or (held and not (lines or file)):
                return unchanged
            try:
                if held and file is not None and not lines:
                    await store.note_text(held, file.text)
                    return unchanged
                new = await store.change(held, after, who=order.who, why=order.why, text=text)
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return Change(new.revision, lines, means, done=True)
        raise AssertionError("the loop returns or raises")

    async def _check_revision(self, held: Stored, order: Order) -> None:
        if order.revision is not None and order.revision != held.revision:
            meanwhile = await self._desk.audit.since(held.lineage, order.revision)
            raise Stale(order.revision, held.revision, meanwhile)
