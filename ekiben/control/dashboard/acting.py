"""The buttons: each leads to a page that says what will happen, and asks why, before it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ekiben.control.acting.verbs import Change, NoDocument, Order, Stale, UnknownExperiment, Verbs
from ekiben.control.callers import Caller
from ekiben.control.dashboard.experiment import ExperimentView, experiment_view
from ekiben.control.dashboard.ramp_form import ramp_fields, ramp_values
from ekiben.control.dashboard.site import Site, to_login
from ekiben.experiments.problems import DocumentError
from ekiben.state.documents.document import Conflict, StateUnavailable

_LONGEST_WHY: Final = 500


@dataclass(frozen=True, slots=True)
class Action:
    """A button: what it is called, whether it ends something, and the verb behind it."""

    name: str
    title: str
    ends: bool
    do: Callable[[Verbs, str, Order, Mapping[str, str]], Awaitable[Change]]


ACTIONS: Final[Mapping[str, Action]] = {
    "start": Action("start", "Start", False, lambda verbs, key, order, _: verbs.start(key, order)),
    "pause": Action("pause", "Pause", False, lambda verbs, key, order, _: verbs.pause(key, order)),
    "resume": Action("resume", "Resume", False, lambda verbs, key, order, _: verbs.resume(key, order)),
    "promote": Action(
        "promote",
        "Promote",
        True,
        lambda verbs, key, order, form: verbs.promote(key, order, form.get("variant") or None),
    ),
    "roll-back": Action(
        "roll-back", "Roll back", True, lambda verbs, key, order, _: verbs.roll_back(key, order)
    ),
    "acknowledge": Action(
        "acknowledge",
        "Acknowledge the redeployment of",
        False,
        lambda verbs, key, order, form: verbs.acknowledge(key, order, form.get("model_versions", "").split()),
    ),
    "ramp-on": Action(
        "ramp-on",
        "Set the ramp of",
        False,
        lambda verbs, key, order, form: verbs.set_ramp(key, order, **ramp_fields(form)),
    ),
    "ramp-off": Action(
        "ramp-off", "End the ramp of", False, lambda verbs, key, order, _: verbs.end_ramp(key, order)
    ),
}


class Acting:
    """The confirmation pages. Nothing changes by looking at one; for those who may not change
    anything there is none.
    """

    def __init__(self, site: Site, verbs: Verbs) -> None:
        self._site = site
        self._verbs = verbs

    async def ask(self, request: Request) -> Response:
        """`GET /experiments/{key}/{action}`: what would happen."""
        caller = await self._site.caller(request)
        if caller is None:
            return to_login(request)
        if not caller.may_change:
            return self._viewer(request, caller)
        return await self._page(request, caller, dict(request.query_params))

    async def do(self, request: Request) -> Response:
        """`POST` of the same: it happens, if the experiments are still what the page showed."""
        caller = await self._site.caller(request)
        if caller is None:
            return to_login(request)
        if not caller.may_change:
            return self._viewer(request, caller)
        form = await self._site.form(request)
        if form is None:
            text = "The form is too old, or it is not ours. Nothing was changed."
            return self._site.message(request, caller, 403, "Refused", text)
        values = _values(form)
        if values.pop("preview", None):
            return await self._page(request, caller, values)
        why = values.get("why", "").strip()
        if not why or len(why) > _LONGEST_WHY:
            text = "Say why: it is kept in the history." if not why else "The reason is too long."
            return await self._page(request, caller, values, status=400, problem=text)
        return await self._change(request, caller, values, why)

    async def _change(
        self, request: Request, caller: Caller, values: Mapping[str, str], why: str
    ) -> Response:
        key, action = request.path_params["key"], self._action(request)
        revision = values.get("revision", "")
        if action is None or not (revision.isascii() and revision.isdigit()):
            return self._unknown(request, caller)
        try:
            await action.do(self._verbs, key, Order(caller.who, why, int(revision)), values)
        except DocumentError as error:
            return await self._page(request, caller, values, status=409, problem=str(error))
        except Stale as error:
            text = "Something was changed since this page was made. Nothing was done; look again."
            lines = [line for entry in error.meanwhile for line in entry.changes]
            return await self._page(request, caller, values, status=409, problem=text, meanwhile=lines)
        except (Conflict, UnknownExperiment, NoDocument) as error:
            text = str(error) or "Try again."
            return self._site.message(request, caller, 409, "Nothing was changed", text)
        except StateUnavailable:
            return self._away(request, caller)
        await self._site.desk.look()
        return RedirectResponse(f"/experiments/{key}", 303)

    async def _page(
        self,
        request: Request,
        caller: Caller,
        values: Mapping[str, str],
        *,
        status: int = 200,
        problem: str | None = None,
        meanwhile: list[str] | None = None,
    ) -> Response:
        key, action = request.path_params["key"], self._action(request)
        view = experiment_view(self._site.desk, key, ())
        if action is None or view is None:
            return self._unknown(request, caller)
        values = {**_defaults(action, view), **values}
        order = Order(caller.who, "", dry_run=True)
        outcome: Change | None = None
        try:
            outcome = await action.do(self._verbs, key, order, values)
        except DocumentError as error:
            problem = problem or str(error)
            status = 409 if status == 200 else status
        except (UnknownExperiment, NoDocument):
            return self._unknown(request, caller)
        except StateUnavailable:
            return self._away(request, caller)
        context: dict[str, Any] = {"values": values, "outcome": outcome, "meanwhile": meanwhile or []}
        return self._site.page(
            request,
            "confirm.html",
            caller,
            status=status,
            title=f"{action.title} {key}",
            action=action,
            view=view,
            problem=problem,
            **context,
        )

    def _action(self, request: Request) -> Action | None:
        return ACTIONS.get(request.path_params["action"])

    def _unknown(self, request: Request, caller: Caller) -> Response:
        text = "There is no such experiment, or nothing of that name can be done with it."
        return self._site.message(request, caller, 404, "Not found", text)

    def _viewer(self, request: Request, caller: Caller) -> Response:
        text = (
            f"{caller.who} may look at everything here and change nothing. To change something, log in with "
            "the admin token, or have EKIBEN_ADMINS list that name."
        )
        return self._site.message(request, caller, 403, "Only for admins", text)

    def _away(self, request: Request, caller: Caller) -> Response:
        text = "The state Redis does not answer: nothing can be changed. Nothing was."
        return self._site.message(request, caller, 503, "Nothing was changed", text)


def _values(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def _defaults(action: Action, view: ExperimentView) -> dict[str, str]:
    if action.name == "promote" and len(view.treatments) == 1:
        return {"variant": view.treatments[0]}
    if action.name == "acknowledge":
        return {"model_versions": " ".join(each.model_version for each in view.unacknowledged)}
    if action.name == "ramp-on":
        return ramp_values(view.experiment)
    return {}
