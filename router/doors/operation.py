"""What a row of the table of operations holds: one method of one path, how it is answered and described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from router.http.keys import PREDICT
from router.http.problems import Body

Handler = Callable[..., Awaitable[None]]
"""Called with the worker, the request and one text for each name in the path. It answers, or raises
`RouterError`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name in the path, a query field or a header."""

    name: str
    place: str
    about: str
    example: str
    schema: dict[str, Any] = field(default_factory=dict)
    """What it is besides a text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: an example of its body (or the media type of a page), its status, headers of its own."""

    about: str
    example: Body | str
    status: int = 200
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """The body that an operation takes."""

    about: str
    body: type[Body]
    example: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path. `right` is what its key must be allowed; None: it is open to everyone.

    Its summary and description are the docstring of its handler. `problems` are the statuses of its own.
    Those of its key, its body and its host are understood.
    """

    path: str
    handler: Handler
    id: str
    tag: str
    answers: tuple[Answer, ...]
    problems: tuple[int, ...] = ()
    method: str = "GET"
    right: str | None = PREDICT
    asked: Asked | None = None
    parameters: tuple[Parameter, ...] = ()
    any_host: bool = False
    """Whether it is answered under every name, as load balancers ask it."""
    traced: bool = False
