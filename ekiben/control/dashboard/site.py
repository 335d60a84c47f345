"""One request at the dashboard: who asks, and a whole page as the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ekiben.control.auth import Auth
from ekiben.control.callers import Caller, Callers
from ekiben.control.dashboard.rendering import Renderer
from ekiben.control.dashboard.sessions import (
    COOKIE,
    Sessions,
    form_token,
    form_token_holds,
    new_cookie,
    write_cookie,
)
from ekiben.control.desk import Desk


@dataclass(frozen=True, slots=True)
class Site:
    """What every page needs."""

    desk: Desk
    auth: Auth
    callers: Callers
    sessions: Sessions
    renderer: Renderer

    async def caller(self, request: Request) -> Caller | None:
        """Who asks, None when that is not known."""
        proxied = self.callers.from_proxy(request)
        session = await self.sessions.find(cookie_of(request))
        # A login of somebody else, who had this browser before, is not this person's.
        if session is not None and (proxied is None or proxied.who == session.who):
            return Caller(session.who, may_change=True, by_log_in=True)
        return proxied

    def page(
        self, request: Request, template: str, caller: Caller | None, *, status: int = 200, **context: Any
    ) -> Response:
        """A whole page, with a cookie for its forms when the browser has none yet."""
        held = cookie_of(request)
        cookie = held or new_cookie()
        html = self.renderer.page(
            template,
            desk=self.desk,
            caller=caller,
            form_token=form_token(cookie),
            path=request.url.path,
            **context,
        )
        response = HTMLResponse(html, status)
        if held is None:
            response.headers["Set-Cookie"] = write_cookie(cookie, secure=self.callers.is_secure(request))
        return response

    def message(
        self, request: Request, caller: Caller | None, status: int, title: str, text: str
    ) -> Response:
        """A page that says only why there is no other."""
        return self.page(request, "message.html", caller, status=status, title=title, text=text)

    async def form(self, request: Request) -> FormData | None:
        """A form that came from one of this browser's pages, None for any other."""
        form = await request.form(max_fields=30, max_files=0)
        return form if form_token_holds(cookie_of(request), form.get("form_token")) else None

    def go(self, request: Request, target: str, cookie: str, max_age: int) -> Response:
        """Go on to `target` with another cookie, for `max_age` seconds; 0 takes it away."""
        response = RedirectResponse(target, 303)
        secure = self.callers.is_secure(request)
        response.headers["Set-Cookie"] = write_cookie(cookie, secure=secure, max_age=max_age)
        return response


def cookie_of(request: Request) -> str | None:
    """The id that the browser was given, whatever cookies others on this host have set."""
    held = request.cookies.get(COOKIE, "")
    return held if 16 <= len(held) <= 100 else None


def to_login(request: Request) -> Response:
    """Ask for the token first, then come back."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)


def own_address(target: str) -> str:
    """`target` when it is an address within this site, else the overview."""
    inside = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if inside and target.isprintable() else "/"
