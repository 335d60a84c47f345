"""What stands before every page: the name it was asked for by, and the headers it leaves with."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ekiben.process.http.names import HostNames, own_origin

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


class PageGuard:
    """Refuses what was asked of another host (421) or comes from another site's form (403)."""

    def __init__(self, app: ASGIApp, names: HostNames) -> None:
        self._app = app
        self._names = names

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
        if len(headers.getlist("host")) != 1 or not self._names.allows(host):
            text = "This controller does not answer to that name. Add it to EKIBEN_ALLOWED_HOSTS.\n"
            return PlainTextResponse(text, 421)
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is not None and not own_origin(origin, host):
                return PlainTextResponse("This form came from another site.\n", 403)
        return None
