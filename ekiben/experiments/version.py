"""A version of a model: where it is served, and how a server that is not Ekiben's is asked."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from ekiben.experiments.part import Name, Part
from ekiben.experiments.problems import Problems, below, listed, show

Text = Annotated[str, Field(min_length=1, max_length=1000)]

UNVERSIONED: Final = "unversioned"
"""The model version of answers from a server that tells none. They are not cached, and nobody can see when it
is redeployed.
"""

MAX_SCORES: Final = 32
"""How many scores of one answer are recorded, and how many classes a label may have."""

HTTP_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
SECRET: Final = re.compile(r"env:(?!EKIBEN_)[A-Za-z_][A-Za-z0-9_]*")
URL_PATH: Final = re.compile(r"/[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")
# What the router itself says of its body and its connection.
_OWN_HEADERS: Final = (
    *("connection", "content-length", "content-type", "expect", "host", "traceparent", "transfer-encoding"),
    "upgrade",
)


class DialectKind(StrEnum):
    """What a server understands, where it is not Ekiben's own `/bulk`."""

    BENTOML = "bentoml"


class Rows(StrEnum):
    """How many rows one call has."""

    MANY = "many"
    SINGLE = "single"


class Dialect(Part):
    """How an ordinary BentoML service is asked. Each row of features becomes what its API takes: the value of
    one feature, a list of the values of several, or without either the row itself, an object.
    """

    kind: Annotated[DialectKind, Field(strict=False)] = Field(examples=["bentoml"])
    """What the server understands. `bentoml` is any API of a BentoML service that takes JSON."""
    path: str = Field(min_length=1, max_length=1000, examples=["/predict"])
    """The path of the API."""
    argument: Name | None = Field(default=None, examples=["texts"])
    """The name of the API's argument. Without it, the body is what the argument would be."""
    feature: Name | None = Field(default=None, examples=["text"])
    """The one feature whose values are sent."""
    features: Annotated[tuple[Name, ...], Field(strict=False, max_length=10_000)] = Field(
        default=(), examples=[["age", "income"]]
    )
    """The features whose values are sent as a list, in this order."""
    rows: Annotated[Rows, Field(strict=False)] = Rows.MANY
    """`many` sends an array of rows and reads an array of answers. `single` is for an API of one row."""
    concurrency: int = Field(default=0, ge=0, le=1024, examples=[16])
    """Calls that a router worker keeps in flight at each endpoint. 0 is as many as there are `workers`."""


class Output(Part):
    """Which fields of an answer mean what. `a.b` is the field `b` of the field `a`, a number is a place in
    a list, and `.` is the answer itself.
    """

    score: Text | None = Field(default=None, examples=["positive"])
    """The number that is compared between versions and with the truth."""
    decision: Text | None = Field(default=None, examples=["label"])
    """What was decided: a text, a whole number, or true or false."""
    scores: Text | None = Field(default=None, examples=["probabilities"])
    """The numbers of an answer that has several, one for each class or horizon: a list, or a mapping, whose
    numbers are taken in the order of their names. At most 32 are recorded.
    """


class Version(Part):
    """One trained version of a model and the endpoints that serve it."""

    # Not strict, because JSON and YAML have lists where Python has tuples.
    endpoints: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = Field(
        examples=[["http://127.0.0.1:3001"]]
    )
    """The URLs of the model service's replicas, each with a scheme, a host and a port."""
    workers: int = Field(default=1, ge=1, le=1024)
    """BentoML workers behind each endpoint. A router worker keeps as many calls in flight."""
    dialect: Dialect | None = None
    """How the endpoints are asked, where they are no services of Ekiben's."""
    output: Output | None = None
    """Which fields of an answer mean what. A service of Ekiben's tells it itself."""
    model_version: str | None = Field(default=None, min_length=1, max_length=200, examples=["sentiment:4fd2"])
    """What the endpoints serve, where they do not tell it themselves. Change it with every redeployment."""
    headers: dict[str, str] = Field(default={}, examples=[{"Authorization": "env:SENTIMENT_TOKEN"}])
    """Headers of every request to the endpoints. Each value is the name of an environment variable of the
    router, as `env:NAME`.
    """
    ca: Text | None = Field(default=None, examples=["/etc/ekiben/ca.pem"])
    """A file on the router's machine with the certificates to trust, in place of the system's."""


def version_problems(version: Version) -> Problems:
    """Yield what does not fit together in a version, its endpoints aside."""
    dialect = version.dialect
    if dialect is None:
        for key in ("output", "model_version"):
            if getattr(version, key) is not None:
                yield (key,), "a service of Ekiben's tells this itself: leave it out, or name a dialect"
    else:
        if URL_PATH.fullmatch(dialect.path) is None:
            yield ("dialect", "path"), f"{show(dialect.path)} is not a path: write it as /predict"
        if dialect.feature is not None and dialect.features:
            yield ("dialect", "features"), "there is a feature already: leave one of the two out"
    if version.model_version is not None and not version.model_version.isprintable():
        yield ("model_version",), "must be printable"
    for name, value in version.headers.items():
        yield from below(("headers", name), _header_problems(name, value))


def _header_problems(name: str, value: str) -> Problems:
    if HTTP_NAME.fullmatch(name) is None:
        yield (), f"{show(name)} is no name of a header"
    elif name.lower() in _OWN_HEADERS:
        yield (), f"the router writes {listed(_OWN_HEADERS)} itself"
    if SECRET.fullmatch(value) is None:  # which may be the secret: it is not repeated
        yield (
            (),
            (
                "must be the name of an environment variable of the router, as env:NAME and none of its own "
                "EKIBEN_…, so that no secret stands in the document"
            ),
        )
