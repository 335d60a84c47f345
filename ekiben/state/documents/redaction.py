"""A user's id, taken out of what is kept of changes: the audit stream, and the experiments file applied last.

An entry of a stream cannot be changed. The stream is written again beside itself, with the ids it has, and
put in its place when nothing was added meanwhile; what was added is written first. One at a time does so, or
the draft of one could take the place of another's.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, WatchError

from ekiben.experiments.changes.edits import forget_user
from ekiben.state.connecting import StateUnavailable, state_answers
from ekiben.state.documents.applying import last_text
from ekiben.state.documents.document import AUDIT_STREAM, Conflict, DocumentStore, dump_document

_DRAFT: Final = "ekiben:audit:draft"
_LOCK: Final = "ekiben:audit:lock"
# Far longer than a page takes; who died holds it no longer.
_LOCK_S: Final = 30.0
_PATIENCE_S: Final = 60.0
_DRAFT_KEPT_S: Final = 3600
_PAGE: Final = 50
_ATTEMPTS: Final = 50

_PROGRAMS: Final = frozenset({b"ramp", b"ekiben"})

Fields = dict[bytes, bytes]
Page = list[tuple[bytes, Fields]]


async def redact_user(redis: Redis, store: DocumentStore, user_id: str, stand_in: str) -> int:
    """Put `stand_in` in the place of a user's id; return in how many entries of the audit stream it was.

    In the documents before and after a change it is the name of an override, in the reasons that people gave
    a word. Raises `StateUnavailable`; done again it goes on.
    """
    with state_answers():
        await _redact_text(store, user_id, stand_in)
        async with redis.lock(_LOCK, timeout=_LOCK_S, blocking_timeout=_PATIENCE_S) as lock:
            return await _redact_audit(redis, lock, user_id, stand_in)


async def _redact_text(store: DocumentStore, user_id: str, stand_in: str) -> None:
    for _ in range(_ATTEMPTS):
        held = await store.load()
        text = held.as_record().applied_text if held is not None else None
        if held is None or text is None:
            return
        last = await last_text(held)
        without = None if last is None else forget_user(last, user_id)
        # By what it means, since YAML has many ways to write an id; and by its letters, for comments.
        if without == last and not _word(user_id).search(text.decode("utf-8", "surrogateescape")):
            return
        # JSON is YAML. Comments and layout go: they may name the user too.
        new = b"" if without is None else orjson.dumps(dump_document(without))
        why = f"{stand_in} was forgotten: the experiments file applied last is kept without"
        try:
            # A revision of its own: who decides on the one before would write the old text again.
            await store.change(held, held.document, who="ekiben", why=why, text=new)
        except Conflict:
            continue
        return
    raise StateUnavailable("the experiments were changed again and again")


async def _redact_audit(redis: Redis, lock: Lock, user_id: str, stand_in: str) -> int:
    found = 0
    after = b"-"
    while page := await _page(redis, after):
        written = await asyncio.to_thread(_redacted_page, page, user_id, stand_in)
        found += sum(fields != now for (_, fields), now in zip(page, written, strict=True))
        after = b"(" + page[-1][0]
        await lock.reacquire()
    if not found:
        return 0
    await redis.delete(_DRAFT)
    after = b"-"
    for _ in range(_ATTEMPTS):
        while page := await _page(redis, after):
            written = await asyncio.to_thread(_redacted_page, page, user_id, stand_in)
            async with redis.pipeline(transaction=False) as pipeline:
                for (entry, _), redacted in zip(page, written, strict=True):
                    pipeline.xadd(_DRAFT, cast("Any", redacted), id=entry.decode())
                pipeline.expire(_DRAFT, _DRAFT_KEPT_S)
                await pipeline.execute()
            after = b"(" + page[-1][0]
            await lock.reacquire()
        async with redis.pipeline(transaction=True) as swap:
            await swap.watch(AUDIT_STREAM, _LOCK)
            if not await lock.owned():
                raise LockError("the lock was lost")
            if await _page(swap, after):
                continue  # somebody was faster: their entries first
            swap.multi()  # type: ignore[no-untyped-call]
            swap.persist(_DRAFT)
            swap.rename(_DRAFT, AUDIT_STREAM)
            try:
                await swap.execute()
            except WatchError:
                continue
            return found
    raise StateUnavailable("the history was changed again and again")


async def _page(redis: Any, after: bytes) -> Page:
    return cast("Page", await redis.xrange(AUDIT_STREAM, min=after, count=_PAGE))


def _redacted_page(page: Page, user_id: str, stand_in: str) -> list[Fields]:
    return [_redacted(fields, user_id, stand_in) for _, fields in page]


def _word(user_id: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(user_id)}(?!\w)")


def _redacted(fields: Fields, user_id: str, stand_in: str) -> Fields:
    redacted = dict(fields)
    for name in (b"before", b"after"):
        if fields.get(name):
            document = orjson.loads(fields[name])
            if _rename(document, user_id, stand_in):
                redacted[name] = orjson.dumps(document)
    # Programs name nobody in their reasons; numbers they do name.
    if b"why" in fields and fields.get(b"who") not in _PROGRAMS:
        redacted[b"why"] = _word(user_id).sub(lambda _: stand_in, fields[b"why"].decode()).encode()
    return redacted


def _rename(document: Any, user_id: str, stand_in: str) -> bool:
    """Rename the user's overrides in a document; whether there was one."""
    found = False
    experiments = document.get("experiments") if isinstance(document, dict) else None
    for experiment in experiments.values() if isinstance(experiments, dict) else ():
        overrides = experiment.get("overrides") if isinstance(experiment, dict) else None
        if isinstance(overrides, dict) and user_id in overrides:
            experiment["overrides"] = {
                stand_in if user == user_id else user: variant for user, variant in overrides.items()
            }
            found = True
    return found
