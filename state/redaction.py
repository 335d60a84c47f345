"""A user's id, taken out of what is kept of changes: the audit stream, and the experiments file applied last.

An entry of a stream cannot be changed. The stream is written again beside itself, with the ids it has, and
put in its place when nothing was added meanwhile; what was added is written first.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from experiments.actions import forget_user
from state.applying import last_text
from state.document import AUDIT_STREAM, Conflict, DocumentStore, StateUnavailable, dump_document

_DRAFT: Final = "ekiben:audit:draft"
_DRAFT_KEPT_S: Final = 3600
_PAGE: Final = 50
_ATTEMPTS: Final = 50

Fields = dict[bytes, bytes]


async def redact_user(redis: Redis, store: DocumentStore, user_id: str, stand_in: str) -> int:
    """Put `stand_in` in the place of a user's id; return in how many entries of the audit stream it was.

    In the documents before and after a change it is the name of an override, in the reasons that people gave
    a word. Raises `StateUnavailable`; done again it goes on.
    """
    try:
        await _redact_text(store, user_id, stand_in)
        return await _redact_audit(redis, user_id, stand_in)
    except (RedisError, OSError) as error:
        raise StateUnavailable(str(error)) from error


async def _redact_text(store: DocumentStore, user_id: str, stand_in: str) -> None:
    for _ in range(_ATTEMPTS):
        held = await store.load()
        text = held.as_record().applied_text if held is not None else None
        if held is None or text is None or user_id.encode("utf-8", "surrogatepass") not in text:
            return
        last = await last_text(held)
        # JSON is YAML. Comments and layout go: they may name the user too.
        new = b"" if last is None else orjson.dumps(dump_document(forget_user(last, user_id)))
        why = f"{stand_in} was forgotten: the experiments file applied last is kept without"
        try:
            # A revision of its own: who decides on the one before would write the old text again.
            await store.change(held, held.document, who="ekiben", why=why, text=new)
        except Conflict:
            continue
        return
    raise StateUnavailable("the experiments were changed again and again")


async def _redact_audit(redis: Redis, user_id: str, stand_in: str) -> int:
    found = 0
    after = b"-"
    while page := await _page(redis, after):
        found += sum(_redacted(fields, user_id, stand_in) != fields for _, fields in page)
        after = b"(" + page[-1][0]
    if not found:
        return 0
    await redis.delete(_DRAFT)
    after = b"-"
    for _ in range(_ATTEMPTS):
        while page := await _page(redis, after):
            async with redis.pipeline(transaction=False) as pipeline:
                for entry, fields in page:
                    redacted: Any = _redacted(fields, user_id, stand_in)
                    pipeline.xadd(_DRAFT, redacted, id=entry.decode())
                pipeline.expire(_DRAFT, _DRAFT_KEPT_S)
                await pipeline.execute()
            after = b"(" + page[-1][0]
        async with redis.pipeline(transaction=True) as swap:
            await swap.watch(AUDIT_STREAM)
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


async def _page(redis: Any, after: bytes) -> list[tuple[bytes, Fields]]:
    return cast("list[tuple[bytes, Fields]]", await redis.xrange(AUDIT_STREAM, min=after, count=_PAGE))


def _redacted(fields: Fields, user_id: str, stand_in: str) -> Fields:
    redacted = dict(fields)
    for name in (b"before", b"after"):
        if fields.get(name):
            document = orjson.loads(fields[name])
            if _rename(document, user_id, stand_in):
                redacted[name] = orjson.dumps(document)
    if b"why" in fields:
        word = rf"(?<!\w){re.escape(user_id)}(?!\w)"
        redacted[b"why"] = re.sub(word, lambda _: stand_in, fields[b"why"].decode()).encode()
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
