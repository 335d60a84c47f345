"""What web pages may have a browser ask of the router, and what they may not.

The checks of a name (`ekiben.process.http.names`) come before keys: a page that is refused learns nothing.
Probes are answered under every name, since load balancers ask by names of their own and the answer says
nothing. With API keys and no list of names every name will do off loopback: a page has no key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ekiben.process.http.names import ALLOWED_HOSTS, ALLOWED_ORIGINS, HostNames, own_origin
from router.errors import EncodedBody, ForeignOrigin, NotJson, UnknownHost
from router.http.asgi import Header, Request

JSON: Final = b"application/json"
_MOST_KNOWN: Final = 1000
_LONGEST_KNOWN: Final = 256
_PREFLIGHT: Final[Sequence[Header]] = (
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, cache-control, content-type, traceparent, x-request-id, x-user-id",
    ),
    (b"access-control-max-age", b"600"),
)
_EXPOSED: Final[Header] = (b"access-control-expose-headers", b"retry-after, server-timing, x-request-id")


class WebRules:
    """The rules of one worker. `names` is None where every name will do."""

    def __init__(self, names: HostNames | None, origins: Collection[str] = ()) -> None:
        self._names = names
        self._origins = frozenset(origins)
        self._behind_proxy = False
        self.known: set[bytes] = set()
        """`Host` headers that were allowed: on the hot path nothing else is looked at."""

    @property
    def only_here(self) -> bool:
        """Whether all that sends requests are programs on this machine: no other name is answered to, no page
        may call, and nothing was seen that a proxy has passed on.
        """
        return (
            self._names is not None and self._names.only_here and not self._origins and not self._behind_proxy
        )

    def admit(self, request: Request, any_host: bool) -> None:
        """Check the request's names; `any_host` is of probes. Raises `UnknownHost` and `ForeignOrigin`."""
        host = request.host
        if host not in self.known and not any_host:
            self._check_host(host)
        origin = request.origin
        if origin is None:
            return
        text = origin.decode("latin-1")
        if text.lower() in self._origins:
            request.cors = ((b"access-control-allow-origin", origin), (b"vary", b"origin"), _EXPOSED)
        elif host is None or not own_origin(text, host.decode("latin-1")):
            raise ForeignOrigin(
                f"pages of {text[:100]!r} may not call this router; {ALLOWED_ORIGINS} lists those that may"
            )

    def _check_host(self, host: bytes | None) -> None:
        if host is None:
            raise UnknownHost("the Host header is missing")
        text = host.decode("latin-1")
        if self._names is not None and not self._names.allows(text):
            raise UnknownHost(
                f"this router does not answer to the name {text[:100]!r}; {ALLOWED_HOSTS} lists other names"
            )
        if len(host) > _LONGEST_KNOWN:
            return
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known.add(host)

    def note_proxy(self, request: Request) -> None:
        """Remember it if a proxy has passed on this request: then others than this machine's programs ask."""
        if self.only_here:
            names = {name for name, _ in request.scope["headers"]}
            self._behind_proxy = not names.isdisjoint((b"forwarded", b"via", b"x-forwarded-for"))


def require_json(request: Request) -> None:
    """Check how a body that changes something is sent. Raises `NotJson` and `EncodedBody`.

    A page of any site may have a form, plain text or a body without a type sent without asking first; JSON
    it may not. Nothing is unpacked: a kilobyte could become a megabyte of work.
    """
    content_type, encoding = request.content_type, request.encoding
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise EncodedBody("send the body as it is: one with a Content-Encoding, such as gzip, is not taken")
    if content_type is None or content_type.partition(b";")[0].strip().lower() != JSON:
        raise NotJson("send the body as JSON, with the header Content-Type: application/json")


def is_preflight(request: Request) -> bool:
    """Whether a browser asks here what an allowed page may ask."""
    return bool(
        request.cors
        and request.scope["method"] == "OPTIONS"
        and any(name == b"access-control-request-method" for name, _ in request.scope["headers"])
    )


async def answer_preflight(_worker: object, request: Request) -> None:
    """The page may ask."""
    await request.respond(200, _PREFLIGHT, b"")
