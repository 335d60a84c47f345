"""Logging in with the admin token, and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ekiben.control.auth import TooManyAttempts
from ekiben.control.dashboard.sessions import LIFETIME_S
from ekiben.control.dashboard.site import Site, cookie_of, own_address

_LONGEST_NAME = 60


class Login:
    """The login page. The name, which a trusted proxy may know better, is for the history only: who has
    the token may do everything.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request) -> Response:
        """`GET /login`."""
        caller = await self._site.caller(request)
        target = own_address(request.query_params.get("next", "/"))
        if caller is not None and caller.may_change:
            return RedirectResponse(target, 303)
        return self._page(request, target)

    async def log_in(self, request: Request) -> Response:
        """`POST /login`."""
        form = await self._site.form(request)
        if form is None:
            text = "The form is too old, or it is not ours: please try again. Cookies have to be allowed."
            return self._page(request, "/", status=403, problem=text)
        target = own_address(str(form.get("next", "/")))
        proxied = self._site.callers.from_proxy(request)
        who = proxied.who if proxied else " ".join(str(form.get("who", "")).split())[:_LONGEST_NAME]
        client = self._site.callers.address(request)
        try:
            known = self._site.auth.check(str(form.get("token", "")).strip(), client)
        except TooManyAttempts as error:
            response = self._page(request, target, status=429, problem=f"There were {error}.", who=who)
            response.headers["Retry-After"] = str(error.retry_after_s)
            return response
        if not known:
            return self._page(request, target, status=403, problem="This is not the admin token.", who=who)
        session = await self._site.sessions.begin(who or "dashboard")
        return self._site.go(request, target, session.id, LIFETIME_S)

    async def log_out(self, request: Request) -> Response:
        """`POST /logout`."""
        if await self._site.form(request) is None:
            caller = await self._site.caller(request)
            return self._site.message(request, caller, 403, "Not logged out", "The form is not from here.")
        if (cookie := cookie_of(request)) is not None:
            await self._site.sessions.end(cookie)
        return self._site.go(request, "/login", "", 0)

    def _page(
        self, request: Request, target: str, *, status: int = 200, problem: str | None = None, who: str = ""
    ) -> Response:
        caller = self._site.callers.from_proxy(request)
        shown = {"title": "Log in", "next": target, "problem": problem, "who": who}
        return self._site.page(request, "login.html", caller, status=status, **shown)
