"""The pages that are live: which address shows what, made of which fragments."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ekiben.control.dashboard.experiment import experiment_view
from ekiben.control.dashboard.overview import overview
from ekiben.control.dashboard.rendering import Fragment, Renderer
from ekiben.control.dashboard.shadows import shadow_view
from ekiben.control.desk import Desk
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.audit import Entry

_EXPERIMENT: Final = (
    "notices",
    "verdict",
    "deciding",
    "guardrails",
    "segments",
    "days",
    "watched",
    "labels",
    "split",
    "ramp",
    "left_out",
    "shadow",
    "changes",
)
_NAME: Final = "([a-z0-9][a-z0-9_-]{0,99})"
_PATHS: Final = (
    (re.compile("/"), "overview", ("notices", "traffic", "models", "health")),
    (re.compile(f"/experiments/{_NAME}"), "experiment", _EXPERIMENT),
    (re.compile(f"/models/{_NAME}/shadow"), "shadows", ("notices", "shadows")),
    (re.compile("/history"), "history", ("notices", "history")),
)
_PAGE_OF_HISTORY: Final = 50
_MOST_KEPT: Final = 32
_HISTORY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """A live page: its address, its template, what it is about, its fragments."""

    address: str
    kind: str
    subject: str | None
    before: str
    names: tuple[str, ...]


def find_page(address: str) -> Page | None:
    """The page at an address within this site, None when there is none of that kind."""
    parts = urlsplit(address)
    for pattern, kind, names in _PATHS:
        found = pattern.fullmatch(parts.path)
        if found is not None:
            subject = found[1] if pattern.groups else None
            before = parse_qs(parts.query).get("before", [""])[0] if kind == "history" else ""
            before = before if re.fullmatch(r"\d{1,20}-\d{1,20}", before) else ""
            return Page(address, kind, subject, before, names)
    return None


class Pages:
    """Live pages, drawn once for everyone who looks at them until the desk knows something new."""

    def __init__(self, desk: Desk, renderer: Renderer) -> None:
        self._desk = desk
        self._renderer = renderer
        self._audit = desk.audit
        self._drawn: dict[tuple[str, str], tuple[object, Mapping[str, Fragment] | None]] = {}
        self._histories: dict[tuple[str | None, str], tuple[object, tuple[Entry, ...]]] = {}
        self._drawing = asyncio.Lock()

    async def fragments(self, page: Page) -> Mapping[str, Fragment] | None:
        """The page's fragments as of now, None when what it is about does not exist."""
        key = (page.kind, f"{page.subject} {page.before}")
        if not self._exists(page):
            return None
        history = await self._history(page)
        async with self._drawing:  # one at a time: two browsers must not cost two cores
            held, state = self._drawn.get(key), (self._desk.changes, history)
            if held is not None and held[0] == state:
                return held[1]
            context = await self._context(page, history)
            drawn = None
            if context is not None:
                drawn = await asyncio.to_thread(self._renderer.fragments, page.names, context)
            while len(self._drawn) >= _MOST_KEPT:
                self._drawn.pop(next(iter(self._drawn)))
            self._drawn[key] = (state, drawn)
            return drawn

    def _exists(self, page: Page) -> bool:
        """Whether there is what the page is about: looked up before anything is read or drawn for it."""
        document = self._desk.stored.document if self._desk.stored else None
        if page.kind == "experiment":
            return document is not None and page.subject in document.experiments
        return page.kind != "shadows" or (document is not None and page.subject in document.models)

    async def _context(self, page: Page, history: tuple[Entry, ...]) -> dict[str, Any] | None:
        desk = self._desk
        shared: dict[str, Any] = {"desk": desk, "now": desk.clock(), "page": page}
        if page.kind == "overview":
            return shared | {"view": await asyncio.to_thread(overview, desk)}
        if page.kind == "history":
            return shared | {"entries": history, "size": _PAGE_OF_HISTORY}
        assert page.subject is not None
        if page.kind == "shadows":
            shadows = shadow_view(desk, page.subject)
            return None if shadows is None else shared | {"view": shadows}
        view = await asyncio.to_thread(experiment_view, desk, page.subject, history)
        return None if view is None else shared | {"view": view}

    async def _history(self, page: Page) -> tuple[Entry, ...]:
        """The changes that the page shows, newest first; what was read last while Redis is away, and while a
        long audit is still being read.
        """
        if page.kind not in ("history", "experiment"):
            return ()
        experiment, stored = page.subject, self._desk.stored
        place = (stored.lineage, stored.revision) if stored else None
        held = self._histories.get((experiment, page.before))
        if held is not None and held[0] == place:
            return held[1]
        try:
            async with asyncio.timeout(_HISTORY_S):
                entries = tuple(await self._audit.entries(_PAGE_OF_HISTORY, experiment, page.before))
        except (StateUnavailable, TimeoutError):
            return held[1] if held else ()
        while len(self._histories) >= _MOST_KEPT:
            self._histories.pop(next(iter(self._histories)))
        self._histories[experiment, page.before] = (place, entries)
        return entries
