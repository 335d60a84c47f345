"""What stands before every page: the name it was asked for by, and the headers it leaves with."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control.settings import Settings

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: a form would be sent with the Origin "null", and that could not be checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def allowed_host(host: str, settings: Settings) -> bool:
    """Whether a Host header names this controller: loopback, or one of `EKIBEN_ALLOWED_HOSTS`.

    A page of another site whose name was made to point here (DNS rebinding) sends its own name. An allowed
    name without a port counts with every port.
    """
    host = host.lower()
    name = _without_port(host)
    if name in _LOOPBACK:
        return True
    return any(allowed.lower() in (host, name) for allowed in settings.allowed_hosts)


class Door:
    """Refuses what was asked of another host (421) or comes from another site's form (403)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                dressed = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    dressed.setdefault(name, value)
                dressed.setdefault("Cache-Control", "no-store")
            await send(message)

        await (self._refusal(scope, headers) or self._app)(scope, receive, send_dressed)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not allowed_host(host, self._settings):
            text = "This controller does not answer to that name. Add it to EKIBEN_ALLOWED_HOSTS.\n"
            return PlainTextResponse(text, 421)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != host.lower():
                return PlainTextResponse("This form came from another site.\n", 403)
        return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
