"""The buttons: each leads to a page that says what will happen, and asks why, before it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ekiben.control.acting.editing import Change, Editor, NoDocument, Order, Stale, UnknownExperiment
from ekiben.control.callers import Caller
from ekiben.control.dashboard.experiment import experiment_view
from ekiben.control.dashboard.forms import fields_of, given, title_of
from ekiben.control.dashboard.site import Site, to_login
from ekiben.experiments.changes.fields import read_texts, write_texts
from ekiben.experiments.changes.verbs import VERBS, Verb
from ekiben.experiments.problems import DocumentError
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import Conflict

_LONGEST_WHY: Final = 500


class Acting:
    """The confirmation pages. Nothing changes by looking at one; for those who may not change
    anything there is none.
    """

    def __init__(self, site: Site, editor: Editor) -> None:
        self._site = site
        self._editor = editor

    async def answer(self, request: Request) -> Response:
        """`GET /experiments/{key}/{verb}` says what would happen. `POST` makes it happen, if the experiments
        are still what the page showed.
        """
        caller, verb = await self._site.caller(request), VERBS.get(request.path_params["verb"])
        if caller is None:
            return to_login(request)
        if not caller.may_change:
            text = (
                f"{caller.who} may look at everything here and change nothing. To change something, log in "
                "with the admin token, or have EKIBEN_ADMINS list that name."
            )
            return self._site.message(request, caller, 403, "Only for admins", text)
        if verb is None:
            return self._unknown(request, caller)
        try:
            if request.method == "POST":
                return await self._do(request, caller, verb)
            return await self._page(request, caller, verb, dict(request.query_params))
        except StateUnavailable:
            text = "The state Redis does not answer: nothing can be changed. Nothing was."
            return self._site.message(request, caller, 503, "Nothing was changed", text)

    async def _do(self, request: Request, caller: Caller, verb: Verb) -> Response:
        form = await self._site.form(request)
        if form is None:
            text = "The form is too old, or it is not ours. Nothing was changed."
            return self._site.message(request, caller, 403, "Refused", text)
        values = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        if values.pop("preview", None):
            return await self._page(request, caller, verb, values)
        why = values.get("why", "").strip()
        if not why or len(why) > _LONGEST_WHY:
            text = "Say why: it is kept in the history." if not why else "The reason is too long."
            return await self._page(request, caller, verb, values, status=400, problem=text)
        return await self._change(request, caller, verb, values, why)

    async def _change(
        self, request: Request, caller: Caller, verb: Verb, values: Mapping[str, str], why: str
    ) -> Response:
        key, revision = request.path_params["key"], values.get("revision", "")
        if not (revision.isascii() and revision.isdigit()):
            return self._unknown(request, caller)
        try:
            await self._act(verb, key, values, Order(caller.who, why, int(revision)))
        except DocumentError as error:
            return await self._page(request, caller, verb, values, status=409, problem=str(error))
        except Stale as error:
            text = "Something was changed since this page was made. Nothing was done; look again."
            lines = [line for entry in error.meanwhile for line in entry.changes]
            return await self._page(request, caller, verb, values, status=409, problem=text, meanwhile=lines)
        except (Conflict, UnknownExperiment, NoDocument) as error:
            text = str(error) or "Try again."
            return self._site.message(request, caller, 409, "Nothing was changed", text)
        await self._site.desk.look()
        return RedirectResponse(f"/experiments/{key}", 303)

    async def _page(
        self,
        request: Request,
        caller: Caller,
        verb: Verb,
        values: Mapping[str, str],
        *,
        status: int = 200,
        problem: str | None = None,
        meanwhile: Sequence[str] = (),
    ) -> Response:
        key = request.path_params["key"]
        view = experiment_view(self._site.desk, key, ())
        if view is None:
            return self._unknown(request, caller)
        values = {**write_texts(verb.typed(view.experiment, view.report)), **values}
        outcome: Change | None = None
        try:
            outcome = await self._act(verb, key, values, Order(caller.who, "", dry_run=True))
        except DocumentError as error:
            problem = problem or str(error)
            status = 409 if status == 200 else status
        except (UnknownExperiment, NoDocument):
            return self._unknown(request, caller)
        return self._site.page(
            request,
            "confirm.html",
            caller,
            status=status,
            title=f"{title_of(verb, values)} {key}",
            verb=verb,
            fields=fields_of(verb, view.experiment, values),
            why=values.get("why", ""),
            view=view,
            problem=problem,
            outcome=outcome,
            meanwhile=meanwhile,
        )

    async def _act(self, verb: Verb, key: str, values: Mapping[str, str], order: Order) -> Change:
        stored = self._site.desk.stored
        experiment = stored.document.experiments.get(key) if stored is not None else None
        held = verb.typed(experiment, self._site.desk.reports.get(key)) if experiment is not None else {}
        return await self._editor.act(verb, key, read_texts(verb.body, given(verb, values), held), order)

    def _unknown(self, request: Request, caller: Caller) -> Response:
        text = "There is no such experiment, or nothing of that name can be done with it."
        return self._site.message(request, caller, 404, "Not found", text)
