"""The admin API: what is known, and the verbs, over HTTP. To be mounted at `/api`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ekiben.control.acting.verbs import Change, NoDocument, Order, UnknownExperiment, Verbs
from ekiben.control.api.openapi import openapi
from ekiben.control.api.problems import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    problem_response,
)
from ekiben.control.api.requests import (
    MAX_APPLY_BYTES,
    AcknowledgeBody,
    ApplyBody,
    ChangeBody,
    ForgetBody,
    PromoteBody,
    RampBody,
    ShadowBody,
    actor,
    is_json,
    number,
    order_of,
    page,
    read_body,
    read_file,
    words,
)
from ekiben.control.api.views import entry_view, experiment_view, experiment_views, shadow_views, status_view
from ekiben.control.auth import Auth, bearer_token
from ekiben.control.callers import Callers
from ekiben.control.desk import Desk
from ekiben.experiments.changes.releases import write_document
from ekiben.experiments.document import Experiment
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.planning import BadPlan, make_plan
from ekiben.experiments.problems import unknown

log = logging.getLogger(__name__)

Forget = Callable[[str], Awaitable[Mapping[str, int]]]
"""Removes a user's events from files and streams; returns what it removed, by what it was."""

Handler = Callable[[Request], Awaitable[object]]


def admin_app(desk: Desk, verbs: Verbs, auth: Auth, forget: Forget) -> Starlette:
    """The API. Nothing it answers is cached, and every error is problem+json."""
    api = Admin(desk, verbs, auth, forget)
    reads: dict[str, Handler] = {
        "/status": api.status,
        "/experiments": api.experiments,
        "/experiments/{key}": api.experiment,
        "/experiments/{key}/report": api.report,
        "/experiments/{key}/history": api.history,
        "/experiments/{key}/plan": api.plan,
        "/history": api.history,
        "/models/{model}/shadow": api.shadow,
        "/document": api.document,
        "/openapi.json": api.openapi,
    }
    changes: dict[str, Handler] = {
        "/apply": api.apply,
        "/events/forget": api.forget,
        "/models/{model}/shadow": api.set_shadow,
        **{f"/experiments/{{key}}/{verb}": api.verb(verb) for verb in VERBS},
    }
    routes = [Route(path, api.reading(handler), methods=["GET"]) for path, handler in reads.items()]
    routes += [Route(path, api.changing(handler), methods=["POST"]) for path, handler in changes.items()]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})
    app.router.redirect_slashes = False
    return app


class Admin:
    """The handlers. They return plain values or a msgspec structure, sent as JSON."""

    def __init__(self, desk: Desk, verbs: Verbs, auth: Auth, forget: Forget) -> None:
        self._desk = desk
        self._verbs = verbs
        self._auth = auth
        self._forget = forget
        self._audit = desk.audit
        self._callers = Callers(desk.settings)

    def reading(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """For those who may look."""
        return self._guarded(handler, changes=False)

    def changing(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """For admins."""
        return self._guarded(handler, changes=True)

    async def status(self, _request: Request) -> object:
        return status_view(self._desk)

    async def document(self, _request: Request) -> object:
        stored = self._desk.stored
        if stored is None:
            raise NotFound("there are no experiments yet: apply a file")
        document = write_document(stored.document, stored.kept)
        return {"lineage": stored.lineage, "revision": stored.revision, "document": document}

    async def experiments(self, _request: Request) -> object:
        return {"experiments": experiment_views(self._desk)}

    async def experiment(self, request: Request) -> object:
        key, experiment = self._experiment(request)
        return experiment_view(self._desk, key, experiment)

    async def report(self, request: Request) -> object:
        key, _ = self._experiment(request)
        report = self._desk.reports.get(key)
        if report is None:
            raise NotFound(f"there is no report of {key} yet")
        return report

    async def history(self, request: Request) -> object:
        key = request.path_params.get("key")
        limit, before = page(request)
        documents = request.query_params.get("documents", "false") == "true"
        if key is not None and not await self._audit.knows(key):
            self._experiment(request)  # one that is gone has a history, one that never was has not
        entries = await self._audit.entries(limit, key, before)
        return {"entries": [entry_view(each, key, documents=documents) for each in entries]}

    async def plan(self, request: Request) -> object:
        key, experiment = self._experiment(request)
        effect = request.query_params.get("effect")
        if effect is None or len(effect) > 40:
            raise BadRequest("effect is missing: a share of the control's mean, such as 5%, or a number")
        power = number(request, "power")
        try:
            return await asyncio.to_thread(
                make_plan,
                key,
                experiment,
                self._desk.reports.get(key),
                effect,
                power=0.8 if power is None else power / 100,
                users_per_day=number(request, "users_per_day"),
                mean=number(request, "mean"),
                std=number(request, "std"),
            )
        except BadPlan as error:
            raise BadRequest(str(error)) from None

    async def shadow(self, request: Request) -> object:
        model = request.path_params["model"]
        if self._desk.stored is None or model not in self._desk.stored.document.models:
            raise NotFound(f"there is no model {model!r}")
        return {"model": model, "reports": shadow_views(self._desk.shadow_reports, model)}

    async def set_shadow(self, request: Request) -> object:
        body = await read_body(request, ShadowBody)
        order = order_of(request, body)
        model = request.path_params["model"]
        return _told(await self._verbs.shadow(model, body.version, body.percent, order, body.endpoints))

    async def openapi(self, _request: Request) -> object:
        return openapi()

    async def apply(self, request: Request) -> object:
        body = await read_body(request, ApplyBody, MAX_APPLY_BYTES)
        order = order_of(request, body)
        if isinstance(body.document, str):
            return _told(await self._verbs.apply_file(await read_file(body.document), order))
        document = await asyncio.to_thread(parse_document, body.document)
        return _told(await self._verbs.apply(document, order))

    async def forget(self, request: Request) -> object:
        body = await read_body(request, ForgetBody)
        order = Order(actor(request), words(body.why))
        try:
            overrides = await self._verbs.forget_overrides(body.user_id, order)
        except NoDocument:
            overrides = None
        removed = await self._forget(body.user_id)
        return {"overrides": len(overrides.changes) if overrides else 0, "events": dict(removed)}

    def verb(self, name: str) -> Handler:
        """The handler of one of `VERBS`."""
        kind, act = VERBS[name]

        async def handle(request: Request) -> object:
            body = await read_body(request, kind)
            return _told(await act(self._verbs, request.path_params["key"], order_of(request, body), body))

        return handle

    def _experiment(self, request: Request) -> tuple[str, Experiment]:
        key = request.path_params["key"]
        stored = self._desk.stored
        if stored is None or key not in stored.document.experiments:
            known = stored.document.experiments if stored is not None else ()
            raise UnknownExperiment(unknown("experiment", key, known))
        return key, stored.document.experiments[key]

    def _guarded(self, handler: Handler, *, changes: bool) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                if changes or not self._callers.may_look(request):
                    self._let_in(request, changes=changes)
                response = _json(await handler(request))
            except Exception as error:
                response = problem_response(error)
                if response.status_code == 500:
                    log.exception("the admin API failed at %s", request.url.path)
            response.headers["Cache-Control"] = "no-store"
            return response

        return guarded

    def _let_in(self, request: Request, *, changes: bool) -> None:
        """Note in the request who sends it, for `actor`. Raises `Unauthorized`, `Forbidden` and
        `TooManyAttempts`.
        """
        token = bearer_token(request.headers.get("authorization"))
        proxied = self._callers.from_proxy(request)
        if token is not None:
            if not self._auth.check(token, self._callers.address(request)):
                raise Unauthorized("this is not the admin token")
        elif proxied is None:
            raise Unauthorized("give the admin token: Authorization: Bearer TOKEN")
        elif changes and not proxied.may_change:
            raise Forbidden(f"{proxied.who} may look and not change: EKIBEN_ADMINS lists who may")
        elif changes and not is_json(request):
            # The proxy knows the user by a cookie, which another site's form would send too.
            raise Forbidden("a change without the admin token must be application/json")
        request.state.caller = proxied


async def _ramp(verbs: Verbs, key: str, order: Order, body: Any) -> Change:
    fields = body.fields()
    if body.off and fields:
        raise BadRequest("off takes the ramp away: give it alone")
    return await (verbs.end_ramp(key, order) if body.off else verbs.set_ramp(key, order, **fields))


VERBS: Final[Mapping[str, tuple[type[ChangeBody], Callable[[Verbs, str, Order, Any], Awaitable[Change]]]]] = {
    "start": (ChangeBody, lambda verbs, key, order, _: verbs.start(key, order)),
    "pause": (ChangeBody, lambda verbs, key, order, _: verbs.pause(key, order)),
    "resume": (ChangeBody, lambda verbs, key, order, _: verbs.resume(key, order)),
    "promote": (PromoteBody, lambda verbs, key, order, body: verbs.promote(key, order, body.variant)),
    "roll-back": (ChangeBody, lambda verbs, key, order, _: verbs.roll_back(key, order)),
    "ramp": (RampBody, _ramp),
    "acknowledge": (
        AcknowledgeBody,
        lambda verbs, key, order, body: verbs.acknowledge(key, order, body.model_versions),
    ),
}


def _told(change: Change) -> dict[str, object]:
    return {
        "done": change.done,
        "revision": change.revision,
        "changes": list(change.changes),
        "consequence": change.consequence,
    }


def _json(value: object) -> Response:
    content = msgspec.json.encode(value) if isinstance(value, msgspec.Struct) else orjson.dumps(value)
    return Response(content, media_type="application/json")


async def _http_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return problem_response(MethodNotAllowed((error.headers or {}).get("Allow", "another method")))
    return problem_response(NotFound("there is no such page in the admin API"))
