"""The experiments document as it lies in Redis: a hash of bytes, kept without being understood.

Who only has to hold it, put it back or compare it (a router worker, a backup) reads no document.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import msgspec
import orjson

SCHEMA: Final = 1
"""Raised when documents change so that releases before cannot even keep them. 30e8d9b writes none: 1."""
_MOST_PAST: Final = 100
_MOST_EARLIER: Final = 50
_MOST_TEXT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One revision. Fields after `document` are those that 30e8d9b does not write, empty where it has."""

    lineage: str
    revision: int
    applied: str
    """The SHA-256 of the experiments file that was applied last, or an empty string."""
    document: bytes
    """JSON, as `ekiben.experiments.changes.releases.read_document` takes it."""
    schema: int = SCHEMA
    routing: bytes = b""
    """The routing document, JSON; empty where it is not of this revision."""
    text: bytes = b""
    """The file that was applied last, compressed; empty where it is not known."""
    earlier: tuple[str, ...] = ()
    """The SHA-256 of the files that were applied before it, newest first."""
    past: tuple[str, ...] = ()
    """`revision:stamp` of what came before, newest first; both sides of histories that were joined."""
    joined: str = ""
    """`at|words` of the last time that two histories were joined; `at` is seconds since 1970."""
    stamp: str = ""
    """The SHA-1 of `document`: what a revision is known by, no matter who wrote it."""

    @property
    def mark(self) -> tuple[str, int, str, str]:
        """What tells one state of the hash from another."""
        return self.lineage, self.revision, self.applied, self.stamp

    @property
    def here(self) -> str:
        """This revision as it stands in a later one's `past`."""
        return f"{self.revision}:{self.stamp}"

    @property
    def applied_text(self) -> bytes | None:
        """The file that was applied last, None where it is not known."""
        if not self.text:
            return None
        try:
            reader = zlib.decompressobj()
            text = reader.decompress(self.text, _MOST_TEXT_BYTES)
        except zlib.error:
            return None
        # A release that keeps no text has applied another file since.
        return text if digest_of(text) == self.applied else None

    def follows(self, other: Self) -> bool | None:
        """Whether this revision came of `other`; None where its past does not reach back so far."""
        if other.here in self.past:
            return True
        number = f"{other.revision}:"
        return False if any(each.startswith(number) for each in self.past) else None

    def next(self, document: bytes, routing: bytes, text: bytes | None = None) -> Self:
        """The revision after this one; `text` is that of an experiments file, where one was applied."""
        applied = self.applied if text is None else digest_of(text)
        earlier = (self.applied, *self.earlier) if self.applied not in ("", applied) else self.earlier
        return replace(
            self,
            revision=self.revision + 1,
            applied=applied,
            document=document,
            schema=SCHEMA,
            routing=routing,
            text=self.text if text is None else zlib.compress(text, 1),
            earlier=tuple(dict.fromkeys(earlier))[:_MOST_EARLIER],
            past=(self.here, *self.past)[:_MOST_PAST] if self.revision else (),
            stamp=stamp_of(document),
        )

    def fields(self) -> dict[str, bytes | str]:
        """The hash."""
        return {
            "lineage": self.lineage,
            "revision": str(self.revision),
            "applied": self.applied,
            "document": self.document,
            "schema": str(self.schema),
            "routing": self.routing,
            "routing_of": f"{self.lineage}:{self.revision}",
            "text": self.text,
            "earlier": " ".join(self.earlier),
            "past": " ".join(self.past),
            "joined": self.joined,
            "stamp": self.stamp,
        }

    @classmethod
    def from_fields(cls, held: Mapping[bytes, bytes]) -> Self:
        """Read the hash. Raises `ValueError` for one that is none."""
        try:
            lineage, revision = held[b"lineage"].decode(), int(held[b"revision"])
            document = held[b"document"]
            applied = held[b"applied"].decode()
        except KeyError as error:
            raise ValueError(f"the field {error} is missing") from None
        ours = held.get(b"routing_of") == f"{lineage}:{revision}".encode()
        return cls(
            lineage,
            revision,
            applied,
            document,
            schema=int(held.get(b"schema") or SCHEMA),
            routing=held.get(b"routing", b"") if ours else b"",
            text=held.get(b"text", b""),
            earlier=tuple(held.get(b"earlier", b"").decode().split()),
            past=tuple(held.get(b"past", b"").decode().split()),
            joined=held.get(b"joined", b"").decode(),
            stamp=stamp_of(document),
        )

    def to_json(self) -> bytes:
        """The copy on disk: read back by `from_json`, and by 30e8d9b."""
        data: dict[str, Any] = {
            "lineage": self.lineage,
            "revision": self.revision,
            "applied": self.applied,
            "document": orjson.Fragment(self.document),
            "schema": self.schema,
            "text": base64.b64encode(self.text).decode(),
            "earlier": self.earlier,
            "past": self.past,
            "joined": self.joined,
        }
        if self.routing:
            data["routing"] = orjson.Fragment(self.routing)
        return orjson.dumps(data)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` or 30e8d9b wrote. Raises `ValueError` for anything else."""
        held = orjson.loads(data)
        if not isinstance(held, dict) or not isinstance(held.get("document"), dict):
            raise ValueError("not an experiments document")
        document = orjson.dumps(held["document"])
        routing = orjson.dumps(held["routing"]) if "routing" in held else b""
        # msgspec writes and reads bytes in JSON as base64, as `to_json` does.
        return msgspec.convert(
            held | {"document": document, "routing": routing, "stamp": stamp_of(document)}, cls
        )


def stamp_of(document: bytes) -> str:
    """What a revision's document is known by."""
    return hashlib.sha1(document, usedforsecurity=False).hexdigest()


def digest_of(text: bytes) -> str:
    """What an experiments file is known by: the SHA-256 of its bytes, in hex."""
    return hashlib.sha256(text).hexdigest()
