"""Reading the admin API's requests: bodies and queries whose every field is known, and who sends them."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from starlette.requests import Request

from ekiben.control.acting.editing import Order
from ekiben.control.api.problems import BadRequest, BodyTooLarge
from ekiben.control.callers import Caller
from ekiben.experiments.changes.verbs import Verb
from ekiben.experiments.judging.plan_inputs import Wish
from ekiben.experiments.problems import DocumentError, from_validation, problem, show
from ekiben.state.documents.experiments_file import (
    MOST_BYTES,
    BadExperimentsFile,
    ExperimentsFile,
    parse_experiments,
)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_APPLY_BYTES: Final = 2 * MOST_BYTES  # JSON has more signs for a text
ADMIN: Final = "admin"

Why = Annotated[str, Field(min_length=1, max_length=1000, description="the reason, for the history")]
_T = TypeVar("_T", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChangeBody(_Part):
    """What every change says."""

    why: Why
    revision: int | None = Field(
        default=None, ge=0, le=2**53, description="the change is refused when it is another by then"
    )
    dry_run: bool = Field(default=False, description="only report what would change")


def _text_or_mapping(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError(f"must be the file's text, or the document as a mapping, not {show(value)}")
    return value


class ApplyBody(ChangeBody):
    """An experiments file as YAML text, of which what is new is applied; or a whole document as JSON."""

    document: Annotated[str | dict[str, Any], BeforeValidator(_text_or_mapping)] = Field(
        description="the file's text, or the document"
    )


class ShadowBody(ChangeBody):
    """The version, the percent of requests that are copied to it, and where it answers if it is new."""

    version: str = Field(description="the version that is to be watched")
    percent: float = Field(ge=0, le=100, description="percent of requests that are copied; 0 ends it")
    endpoints: tuple[str, ...] = Field(default=(), description="where a new version answers")


class ForgetBody(_Part):
    """The user to forget."""

    user_id: str = Field(min_length=1, max_length=256, description="the user's id")
    why: Why


class HistoryQuery(_Part):
    """Which part of a list that is read page by page."""

    limit: int = Field(default=50, ge=1, le=500, description="how many entries")
    before: str = Field(
        default="", pattern="^([0-9]{1,20}-[0-9]{1,20})?$", description="the id of an entry: older ones only"
    )
    documents: bool = Field(default=False, description="with what was before and after each change")


class ReportQuery(_Part):
    """How a report is written."""

    format: Literal["json", "csv"] = Field(
        default="json", description="csv has a line for each metric and variant, json has everything"
    )


class PlanQuery(_Part):
    """What a plan is made for; what is not given is taken from the report or from live's history."""

    effect: str | None = Field(
        default=None,
        max_length=40,
        description="what is to be found: a share of the control's mean, such as 5%, or a number",
        examples=["5%"],
    )
    days: float | None = Field(
        default=None, gt=0, le=3650, description="in place of effect: in how many days the smallest is sought"
    )
    power: float = Field(default=80.0, description="percent: the probability of finding the effect")
    users_per_day: float | None = Field(default=None, description="new users of the model a day")
    mean: float | None = Field(default=None, description="the control's mean")
    std: float | None = Field(default=None, description="the control's standard deviation between users")

    def wish(self) -> Wish:
        """The same for `make_plan`. Raises `BadRequest`."""
        if self.effect is not None and self.days is not None:
            raise BadRequest("give one of effect and days")
        asked = self.model_dump(include=set(Wish.__struct_fields__)) | {"power": self.power / 100}
        return Wish(**asked)


class ModelPlanQuery(PlanQuery):
    """The metric to plan for, beside what every plan is made for."""

    metric: str = Field(
        max_length=200,
        description="its outcomes' name, and its kind where no experiment has it",
        examples=["profit:mean"],
    )


@cache
def body_of(verb: Verb) -> Any:
    """The body of a verb's request, a class: what every change says, and what the verb is told."""
    if not verb.body.model_fields:
        return ChangeBody
    name = verb.name.title().replace("-", "") + "Body"
    return create_model(name, __base__=(verb.body, ChangeBody), __doc__=verb.body.__doc__)


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
        return kind.model_validate_json(b"".join(parts), strict=True)
    except ValidationError as error:
        raise BadRequest(f"the body is not what is expected: {_lines(kind, error)}") from None


def read_query(request: Request, kind: type[_T]) -> _T:
    """What the address says after its question mark. Raises `BadRequest`."""
    try:
        return kind.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise BadRequest(_lines(kind, error)) from None


def _lines(kind: type[BaseModel], error: ValidationError) -> str:
    return "; ".join(problem(*each) for each in from_validation(kind, (), error))


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
