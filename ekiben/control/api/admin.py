"""The admin API: what is known, and the verbs, over HTTP. To be mounted at `/api`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from typing import Any, Final

import msgspec
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ekiben.control.acting.editing import Editor, NoDocument, Order, UnknownExperiment
from ekiben.control.analysis.agreement import Comparison
from ekiben.control.api.openapi import Operation, describe
from ekiben.control.api.plans import HistoryOf, Plans
from ekiben.control.api.problems import (
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
    problem_response,
)
from ekiben.control.api.requests import (
    MAX_APPLY_BYTES,
    ApplyBody,
    ForgetBody,
    HistoryQuery,
    ModelPlanQuery,
    PlanQuery,
    ReportQuery,
    ShadowBody,
    actor,
    body_of,
    is_json,
    order_of,
    read_body,
    read_file,
    read_query,
    words,
)
from ekiben.control.api.spreadsheets import csv_response
from ekiben.control.api.views import entry_view, experiment_view, experiment_views, shadow_views, status_view
from ekiben.control.auth import Auth, bearer_token
from ekiben.control.callers import Callers
from ekiben.control.desk import Desk
from ekiben.experiments.changes.releases import write_document
from ekiben.experiments.changes.verbs import VERBS, Verb
from ekiben.experiments.document import Experiment
from ekiben.experiments.judging.plans import SamplePlan
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import unknown
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.tidy import metric_rows
from ekiben.state.documents.document import Stored

log = logging.getLogger(__name__)

Forget = Callable[[str], Awaitable[Mapping[str, int]]]
"""Removes a user's events from files and streams; returns what it removed, by what it was."""


Compare = Callable[[str, Stored, float], Comparison]
"""Makes the report of an experiment at a time in two ways (`Analyses.compare`); it blocks."""


def admin_app(
    desk: Desk, editor: Editor, auth: Auth, forget: Forget, history: HistoryOf, compare: Compare | None = None
) -> Starlette:
    """The API. Nothing it answers is cached, and every error is problem+json."""
    api = Admin(desk, editor, auth, forget, history, compare)
    routes = [Route(each.path, api.guarded(each), methods=[each.method]) for each in OPERATIONS]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})
    app.router.redirect_slashes = False
    return app


class Admin:
    """The handlers. They return plain values, dataclasses or a msgspec structure, sent as JSON."""

    def __init__(
        self,
        desk: Desk,
        editor: Editor,
        auth: Auth,
        forget: Forget,
        history: HistoryOf,
        compare: Compare | None,
    ) -> None:
        self._desk = desk
        self._editor = editor
        self._auth = auth
        self._forget = forget
        self._compare = compare
        self._callers = Callers(desk.settings)
        self._plans = Plans(desk, history)

    async def status(self, _request: Request) -> object:
        """The installation at a glance."""
        return status_view(self._desk)

    async def document(self, _request: Request) -> object:
        """The document in force, as `POST /apply` takes it."""
        stored = self._desk.stored
        if stored is None:
            raise NotFound("there are no experiments yet: apply a file")
        document = write_document(stored.document, stored.kept)
        return {"lineage": stored.lineage, "revision": stored.revision, "document": document}

    async def experiments(self, _request: Request) -> object:
        """Every experiment, with its verdict and its ramp."""
        return {"experiments": experiment_views(self._desk)}

    async def experiment(self, request: Request) -> object:
        """One experiment, with its verdict and its ramp."""
        key, experiment = self._experiment(request)
        return experiment_view(self._desk, key, experiment)

    async def report(self, request: Request) -> object:
        """The last report, as JSON or as CSV.

        docs/command-line.md has the columns of CSV.
        """
        key, _ = self._experiment(request)
        query = read_query(request, ReportQuery)
        report = self._desk.reports.get(key)
        if report is None:
            raise NotFound(f"there is no report of {key} yet")
        return report if query.format == "json" else csv_response(list(metric_rows(report)))

    async def from_scratch(self, request: Request) -> object:
        """The report computed from all events, beside the one of what is kept: where they differ.

        It takes as long as the events are many.
        """
        key, _ = self._experiment(request)
        if self._compare is None or self._desk.stored is None:
            raise NotFound("this controller makes no reports")
        return await asyncio.to_thread(self._compare, key, self._desk.stored, self._desk.clock())

    async def history(self, request: Request) -> object:
        """The changes of an experiment or of all, newest first."""
        key = request.path_params.get("key")
        query = read_query(request, HistoryQuery)
        if key is not None and not await self._desk.audit.knows(key):
            self._experiment(request)  # one that is gone has a history, one that never was has not
        entries = await self._desk.audit.entries(query.limit, key, query.before)
        return {"entries": [entry_view(each, key, documents=query.documents) for each in entries]}

    async def plan(self, request: Request) -> object:
        """How many users and days an experiment needs, or what it can find in a number of days."""
        key, experiment = self._experiment(request)
        return await self._plans.plan(key, experiment, read_query(request, PlanQuery).wish())

    async def plan_model(self, request: Request) -> object:
        """The same for an experiment that does not exist yet.

        It has two halves, the metric and the guardrails of requests.
        """
        query = read_query(request, ModelPlanQuery)
        return await self._plans.plan_model(request.path_params["model"], query.metric, query.wish())

    async def shadow(self, request: Request) -> object:
        """Shadow versions beside what answered."""
        model = request.path_params["model"]
        if self._desk.stored is None or model not in self._desk.stored.document.models:
            raise NotFound(f"there is no model {model!r}")
        return {"model": model, "reports": shadow_views(self._desk.shadow_reports, model)}

    async def set_shadow(self, request: Request) -> object:
        """Copy a share of the requests to a version."""
        body = await read_body(request, ShadowBody)
        order = order_of(request, body)
        model = request.path_params["model"]
        return await self._editor.shadow(model, body.version, body.percent, order, body.endpoints)

    async def openapi(self, _request: Request) -> object:
        """This description."""
        return openapi()

    async def apply(self, request: Request) -> object:
        """Apply what a file (YAML text) changes, or replace the document (JSON)."""
        body = await read_body(request, ApplyBody, MAX_APPLY_BYTES)
        order = order_of(request, body)
        if isinstance(body.document, str):
            return await self._editor.apply_file(await read_file(body.document), order)
        document = await asyncio.to_thread(parse_document, body.document)
        return await self._editor.apply(document, order)

    async def forget(self, request: Request) -> object:
        """Remove a user's events and overrides."""
        body = await read_body(request, ForgetBody)
        order = Order(actor(request), words(body.why))
        try:
            overrides = await self._editor.forget_overrides(body.user_id, order)
        except NoDocument:
            overrides = None
        removed = await self._forget(body.user_id)
        return {"overrides": len(overrides.changes) if overrides else 0, "events": dict(removed)}

    async def act(self, request: Request, verb: Verb) -> object:
        """Do what a verb does with an experiment."""
        body = await read_body(request, body_of(verb))
        return await self._editor.act(verb, request.path_params["key"], body, order_of(request, body))

    def _experiment(self, request: Request) -> tuple[str, Experiment]:
        key = request.path_params["key"]
        stored = self._desk.stored
        if stored is None or key not in stored.document.experiments:
            known = stored.document.experiments if stored is not None else ()
            raise UnknownExperiment(unknown("experiment", key, known))
        return key, stored.document.experiments[key]

    def guarded(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        """The operation for those who may look, or, where it changes something, for admins."""
        changes = operation.body is not None

        async def guarded(request: Request) -> Response:
            try:
                if changes or not self._callers.may_look(request):
                    self._let_in(request, changes=changes)
                response = _sent(await operation.handler(self, request))
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


OPERATIONS: Final = (
    Operation("/status", Admin.status),
    Operation("/experiments", Admin.experiments),
    Operation("/experiments/{key}", Admin.experiment),
    Operation("/experiments/{key}/report", Admin.report, query=ReportQuery, answer=Report, also="text/csv"),
    Operation("/experiments/{key}/from-scratch", Admin.from_scratch, answer=Comparison),
    Operation("/experiments/{key}/history", Admin.history, query=HistoryQuery),
    Operation("/experiments/{key}/plan", Admin.plan, query=PlanQuery, answer=SamplePlan),
    Operation("/models/{model}/plan", Admin.plan_model, query=ModelPlanQuery, answer=SamplePlan),
    Operation("/history", Admin.history, query=HistoryQuery),
    Operation("/models/{model}/shadow", Admin.shadow),
    Operation("/document", Admin.document),
    Operation("/openapi.json", Admin.openapi),
    Operation("/apply", Admin.apply, body=ApplyBody),
    *(
        Operation(
            f"/experiments/{{key}}/{verb.name}", partial(Admin.act, verb=verb), verb.help, body_of(verb)
        )
        for verb in VERBS.values()
    ),
    Operation("/models/{model}/shadow", Admin.set_shadow, body=ShadowBody),
    Operation("/events/forget", Admin.forget, body=ForgetBody),
)
"""All that the API does."""


@cache
def openapi() -> Mapping[str, Any]:
    """The description of the API."""
    return describe(OPERATIONS)


def _sent(value: object) -> Response:
    if isinstance(value, Response):
        return value
    content = msgspec.json.encode(value) if isinstance(value, msgspec.Struct) else orjson.dumps(value)
    return Response(content, media_type="application/json")


async def _http_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return problem_response(MethodNotAllowed((error.headers or {}).get("Allow", "another method")))
    return problem_response(NotFound("there is no such page in the admin API"))
