"""The processes of one `ekiben up`: starting them together, waiting until they can answer, ending them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ekiben.terminal.errors import EkibenError
from ekiben.up.processes import Child, Children

START_TIMEOUT_S = 120.0

# What uvicorn says when a worker cannot start: its supervisor would start another one for ever.
STARTUP_FAILED = "Application startup failed"
# Where in a line the reason begins, in what Python and BentoML print.
TELLING = re.compile(r"(\w*(Error|Exception|Refused): |Failed to ).*")


@dataclass(frozen=True, slots=True)
class Part:
    """A started process and the address that answers 200 once it can work."""

    child: Child
    ready_url: str


async def until_ready(parts: Sequence[Part], on_ready: Callable[[Part], None]) -> dict[str, str]:
    """Return when every part is ready or has failed; `on_ready` is called with each that is ready.

    The result is name → a line that says why, of the parts that failed and are not needed. Raises EkibenError
    when a needed one fails. A part that is not ready within START_TIMEOUT_S has failed.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    failed: dict[str, str] = {}

    async def wait(session: aiohttp.ClientSession, part: Part) -> None:
        while not await _is_ready(session, part.ready_url):
            if (why := _failure(part.child, deadline)) is not None:
                if part.child.needed:
                    raise EkibenError(why)
                failed[part.child.name] = why
                return
            await asyncio.sleep(0.1)
        on_ready(part)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
        await asyncio.gather(*(wait(session, part) for part in parts))
    return failed


def _failure(child: Child, deadline: float) -> str | None:
    """Why this child will not become ready, or None while it still may."""
    if child.process.poll() is not None:
        return how_it_ended(child)
    if STARTUP_FAILED in _end_of(child.log):
        return _with_words(f"{child.name} cannot start", child.log)
    if time.monotonic() > deadline:
        return f"{child.name} was not ready within {START_TIMEOUT_S:.0f} s: see {child.log}"
    return None


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def how_it_ended(child: Child) -> str:
    """One line: which child, how, its last words where they say something, and where the rest is."""
    code = child.process.poll()
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return _with_words(f"{child.name} {how}", child.log)


def _with_words(line: str, log: Path) -> str:
    words = last_words(log)
    return f"{line} ({words}): see {log}" if words else f"{line}: see {log}"


def last_words(log: Path, limit: int = 300) -> str:
    """Return the error that a log ends with, else its last line, cut to `limit` characters."""
    texts = (text for line in _end_of(log).splitlines() for text in _message(line).splitlines())
    lines = [line for line in texts if line.strip() and not line.startswith((" ", "\t"))]
    errors = (found[0] for line in reversed(lines) if (found := TELLING.search(line)))
    line = next(errors, lines[-1] if lines else "")
    line = "".join(letter for letter in line.strip() if letter.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _message(line: str) -> str:
    """What a line of a log says: of one that is JSON its message, and the traceback below."""
    try:
        entry = json.loads(line)
        return "\n".join(str(entry[name]) for name in ("message", "exception") if name in entry)
    except (ValueError, TypeError):
        return line


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


@asynccontextmanager
async def watched(children: Children) -> AsyncIterator[None]:
    """Within this block a child that ends interrupts the work with EkibenError."""
    work = asyncio.current_task()
    assert work is not None
    died: list[Child] = []

    async def watch() -> None:
        while not died:
            await asyncio.sleep(0.1)
            if (child := children.ended()) is not None:
                died.append(child)
                work.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if died:
            work.uncancel()
            raise EkibenError(how_it_ended(died[0])) from None
        raise
    finally:
        watcher.cancel()
