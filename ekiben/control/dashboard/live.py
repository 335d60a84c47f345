"""What happens while a page is open: server-sent events that say which fragments are new, and fragments.

An event holds the digest of each fragment of the page. The browser fetches those that differ from what it
shows, so it does not matter which events it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from ekiben.control.dashboard.pages import Page, Pages, find_page
from ekiben.control.desk import Desk

_HEARTBEAT_S: Final = 10.0
_BETWEEN_S: Final = 0.5
_MOST_STREAMS: Final = 200


class Live:
    """The events and fragments of open pages. `close` ends all streams, so that the server can stop."""

    def __init__(self, desk: Desk, pages: Pages) -> None:
        self._desk = desk
        self._pages = pages
        self._streams = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream within a moment."""
        self._closing.set()

    async def events(self, request: Request) -> Response:
        """`GET /events?page=/…`: the digests of the page's fragments, now and after every change."""
        page = find_page(request.query_params.get("page", ""))
        if page is None:
            return PlainTextResponse("no such page\n", 404)
        if self._streams >= _MOST_STREAMS:
            return PlainTextResponse("too many open pages\n", 503, {"Retry-After": "10"})
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(page), media_type="text/event-stream", headers=headers)

    async def fragment(self, request: Request) -> Response:
        """`GET /fragments/{name}?page=/…`: the fragment as HTML, its digest in a header."""
        page = find_page(request.query_params.get("page", ""))
        fragments = await self._pages.fragments(page) if page else None
        fragment = (fragments or {}).get(request.path_params["name"])
        if fragment is None:
            return PlainTextResponse("no such fragment\n", 404)
        return HTMLResponse(fragment.html, headers={"X-Fragment-Digest": fragment.digest})

    async def _stream(self, page: Page) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            yield b"retry: 2000\n\n"
            sent: dict[str, str] | None = None
            while not self._closing.is_set():
                since = self._desk.changes
                fragments = await self._pages.fragments(page)
                if fragments is None:
                    yield b"event: gone\ndata: {}\n\n"
                    return
                digests = {name: fragment.digest for name, fragment in fragments.items()}
                if digests != sent:
                    sent = digests
                    yield b"data: " + orjson.dumps(digests) + b"\n\n"
                if not await self._changed(since):
                    yield b": alive\n\n"
                else:
                    await asyncio.sleep(_BETWEEN_S)  # changes at one moment are sent together
        finally:
            self._streams -= 1

    async def _changed(self, since: int) -> bool:
        """Wait for a change; False when none came for a while."""
        change = asyncio.ensure_future(self._desk.wait_for_change(since))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({change, closing}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            return change.done()
        finally:
            change.cancel()
            closing.cancel()
