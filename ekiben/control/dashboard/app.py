"""The dashboard as one ASGI app, to be mounted at `/` of the controller, after its other routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ekiben.control.acting.editing import Editor
from ekiben.control.auth import Auth
from ekiben.control.callers import Callers
from ekiben.control.dashboard.acting import Acting
from ekiben.control.dashboard.headers import PageGuard
from ekiben.control.dashboard.live import Live
from ekiben.control.dashboard.login import Login
from ekiben.control.dashboard.pages import Pages, find_page
from ekiben.control.dashboard.rendering import HERE, Renderer
from ekiben.control.dashboard.sessions import Sessions
from ekiben.control.dashboard.site import Site, to_login
from ekiben.control.desk import Desk

_Answer = Callable[[Request], Awaitable[Response]]


class Dashboard:
    """The dashboard of what `desk` knows. `ekiben.control.callers` decides who may look and who may change.
    `close` ends the event streams, so that the server can stop.
    """

    def __init__(self, desk: Desk, auth: Auth, editor: Editor) -> None:
        renderer = Renderer()
        sessions = Sessions(desk.redis, auth.bind, desk.clock)
        self._site = Site(desk, auth, Callers(desk.settings), sessions, renderer)
        self._pages = Pages(desk, renderer)
        self._live = Live(desk, self._pages)
        login, acting = Login(self._site), Acting(self._site, editor)
        self._app = Starlette(
            routes=[
                Mount("/static", _Static(directory=HERE / "static")),
                Route("/login", login.show, methods=["GET"]),
                Route("/login", login.log_in, methods=["POST"]),
                Route("/logout", login.log_out, methods=["POST"]),
                Route("/events", self._for_readers(self._live.events)),
                Route("/fragments/{name}", self._for_readers(self._live.fragment)),
                Route("/experiments/{key}/{verb}", acting.answer, methods=["GET", "POST"]),
                Route("/{path:path}", self._page),
            ],
            middleware=[Middleware(PageGuard, names=desk.settings.names)],
            exception_handlers={HTTPException: self._refused},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the event streams: call it when the server is asked to stop."""
        self._live.close()

    async def _page(self, request: Request) -> Response:
        caller = await self._site.caller(request)
        if caller is None and not self._site.callers.may_look(request):
            return to_login(request)
        query = f"?{request.url.query}" if request.url.query else ""
        page = find_page(request.url.path + query)
        fragments = await self._pages.fragments(page) if page else None
        if page is None or fragments is None:
            if self._site.desk.stored is None and page is not None and page.subject is not None:
                text = "There are no experiments yet, or Redis has not answered yet."
                return self._site.message(request, caller, 503, "Nothing is known yet", text)
            return self._site.message(request, caller, 404, "Not found", "There is no such page.")
        return self._site.page(
            request, f"{page.kind}.html", caller, title=_title(page.kind, page.subject), page=page,
            fragments=fragments,
        )  # fmt: skip

    def _for_readers(self, answer: _Answer) -> _Answer:
        async def guarded(request: Request) -> Response:
            if self._site.callers.may_look(request) or await self._site.caller(request) is not None:
                return await answer(request)
            return PlainTextResponse("log in first\n", 401)

        return guarded

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        caller = await self._site.caller(request)
        text = "This cannot be done here." if error.status_code == 405 else "There is no such page."
        return self._site.message(request, caller, error.status_code, error.detail, text)


class _Static(StaticFiles):
    """Style sheets and scripts: kept by the browser where their address changes with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        named = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if named else "no-cache"
        return response


def _title(kind: str, subject: str | None) -> str:
    titles = {"overview": "Overview", "history": "History", "shadows": f"{subject}: shadow versions"}
    return titles.get(kind, subject or "")
