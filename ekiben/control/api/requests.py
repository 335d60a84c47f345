"""Reading the admin API's requests: bodies whose every field is known, and who sends them."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from ekiben.control.acting.verbs import Order, RampFields
from ekiben.control.api.problems import BadRequest, BodyTooLarge
from ekiben.control.callers import Caller
from ekiben.experiments.problems import DocumentError
from ekiben.state.documents.experiments_file import (
    MOST_BYTES,
    BadExperimentsFile,
    ExperimentsFile,
    parse_experiments,
)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_APPLY_BYTES: Final = 2 * MOST_BYTES  # JSON has more signs for a text
ADMIN: Final = "admin"
_MAX_WORDS: Final = 1000

Why = Annotated[str, Meta(min_length=1, max_length=_MAX_WORDS, description="for the audit: why")]
UserId = Annotated[str, Meta(min_length=1, max_length=256)]
_T = TypeVar("_T")


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every change says."""

    why: Why
    revision: (
        Annotated[int, Meta(ge=0, le=2**53, description="refused when it is another by then")] | None
    ) = None
    dry_run: Annotated[bool, Meta(description="only tell what would change")] = False


class ApplyBody(ChangeBody):
    """An experiments file as YAML text, of which what is new is applied; or a whole document as JSON."""

    document: str | dict[str, Any]


class PromoteBody(ChangeBody):
    """The treatment to promote; it may be left out where there is one."""

    variant: str | None = None


class RampBody(ChangeBody):
    """The fields of the ramp that are to be other than they are; `off` takes the ramp away."""

    off: bool = False
    steps: list[float] | UnsetType = UNSET
    every: str | UnsetType = UNSET
    min_users_per_step: int | UnsetType = UNSET
    guardrails: list[str] | UnsetType | None = UNSET
    then: Literal["wait", "promote"] | UnsetType = UNSET

    def fields(self) -> RampFields:
        """Those that are given."""
        fields: RampFields = {}
        if self.steps is not UNSET:
            fields["steps"] = tuple(self.steps)
        if self.every is not UNSET:
            fields["every"] = self.every
        if self.min_users_per_step is not UNSET:
            fields["min_users_per_step"] = self.min_users_per_step
        if self.guardrails is not UNSET:
            fields["guardrails"] = None if self.guardrails is None else tuple(self.guardrails)
        if self.then is not UNSET:
            fields["then"] = self.then
        return fields


class AcknowledgeBody(ChangeBody):
    """The redeployments that were looked at; none named: all that the last report shows."""

    model_versions: list[str] = []


class ShadowBody(ChangeBody):
    """The version, the percent of requests that are copied to it, and where it answers if it is new."""

    version: str
    percent: Annotated[float, Meta(ge=0, le=100)]
    endpoints: list[str] = []


class ForgetBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The user to forget."""

    user_id: UserId
    why: Why


async def read_body(request: Request, kind: type[_T], most_bytes: int = MAX_BODY_BYTES) -> _T:
    """The body of a request. Raises `BadRequest` and `BodyTooLarge`."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise BodyTooLarge(f"at most {most_bytes:,} bytes are taken")
        parts.append(part)
    try:
        return msgspec.json.decode(b"".join(parts), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"the body is not what is expected: {error}") from None


def order_of(request: Request, body: ChangeBody) -> Order:
    """Who wants what is in `body`, and why. Raises `BadRequest`."""
    return Order(actor(request), words(body.why), body.revision, body.dry_run)


def words(why: str) -> str:
    """The reason, if it says something and can be shown anywhere. Raises `BadRequest`."""
    why = why.strip()
    if not why:
        raise BadRequest("why must say something: it is what the audit shows")
    if not all(letter.isprintable() or letter == "\n" for letter in why):
        raise BadRequest("why must be text without control characters")
    return why


def actor(request: Request) -> str:
    """Who acts: whom a trusted proxy names, else what the header X-Ekiben-Actor says, since whoever has the
    token is trusted. Raises `BadRequest`.
    """
    proxied: Caller | None = getattr(request.state, "caller", None)
    if proxied is not None:
        return proxied.who
    given = request.headers.get("x-ekiben-actor")
    if given is None:
        return ADMIN
    try:
        name = given.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise BadRequest("X-Ekiben-Actor is not UTF-8") from None
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise BadRequest("X-Ekiben-Actor must be 1 to 100 printable characters")
    return name


def is_json(request: Request) -> bool:
    """Whether the body is said to be JSON, which no form of another site can say."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


async def read_file(text: str) -> ExperimentsFile:
    """The experiments file that was sent. Raises DocumentError."""
    try:
        # YAML of this size can take a second, which nobody else should wait for.
        return await asyncio.to_thread(parse_experiments, text.encode())
    except BadExperimentsFile as error:
        raise DocumentError(str(error).splitlines()) from None


def page(request: Request, most: int = 500) -> tuple[int, str]:
    """`limit` and `before` of a list that is read page by page. Raises `BadRequest`."""
    limit = request.query_params.get("limit", "50")
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6 or not 1 <= int(limit) <= most:
        raise BadRequest(f"limit must be a whole number from 1 to {most}")
    before = request.query_params.get("before", "")
    if before and re.fullmatch(r"[0-9]{1,20}-[0-9]{1,20}", before, re.ASCII) is None:
        raise BadRequest("before must be the id of an entry")
    return int(limit), before


def number(request: Request, name: str) -> float | None:
    """A query parameter that is a finite number, None when it is not there. Raises `BadRequest`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e300:
        raise BadRequest(f"{name} must be a number")
    return value
