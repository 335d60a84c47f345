"""Asking a running controller through its admin API, and telling in lines what it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from ekiben.clients.http import JSON, ask
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.process.environ import address, data_dir
from ekiben.process.http.client import NoAnswer
from ekiben.process.http.names import is_loopback
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import controller_port

TIMEOUT_S = 30.0
_FORGET_TIMEOUT_S = 150.0  # all files are read
_ALL_EVENTS_TIMEOUT_S = 600.0  # and all are computed with


class NoController(EkibenError):
    """Nothing answers where the controller should be."""


class ControllerClient:
    """A controller at an http(s) address, shown the token of the environment or of this machine when there
    is one; the audit shows `who` asked.

    Every method raises EkibenError when there is no good answer, `NoController` when there is none at all.
    """

    def __init__(self, url: str, environ: Mapping[str, str], who: str = "") -> None:
        self.url = url
        self._headers = dict(JSON)
        if token := _token(environ, url):
            self._headers["Authorization"] = _latin(f"Bearer {token}")
        if who and who.isprintable():
            self._headers["X-Ekiben-Actor"] = _latin(who[:100])

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ControllerClient:
        """The one that EKIBEN_CONTROLLER_URL names, else the one on this machine. Raises `BadSetting`."""
        url = address(environ, "EKIBEN_CONTROLLER_URL", controller_port(environ))
        return cls(url, environ, environ.get("USER", ""))

    def status(self) -> dict[str, Any]:
        """The installation at a glance."""
        return self._ask("/status")

    def experiment(self, key: str) -> dict[str, Any]:
        """One experiment, with its verdict and its ramp."""
        return self._ask(f"/experiments/{quote(key, safe='')}")

    def report(self, key: str) -> tuple[Report, bytes]:
        """The last report, and its JSON as it came."""
        content = self._fetch(f"/experiments/{quote(key, safe='')}/report")
        try:
            return msgspec.json.decode(content, type=Report), content
        except msgspec.DecodeError as error:
            raise EkibenError(f"the controller at {self.url} is of another release: {error}") from None

    def from_scratch(self, key: str) -> dict[str, Any]:
        """A report computed from all events beside the one of what is kept (`analysis.agreement`)."""
        return self._ask(f"/experiments/{quote(key, safe='')}/from-scratch", timeout_s=_ALL_EVENTS_TIMEOUT_S)

    def report_csv(self, key: str) -> bytes:
        """The last report's metrics as CSV."""
        return self._fetch(f"/experiments/{quote(key, safe='')}/report?format=csv")

    def experiments(self) -> list[dict[str, Any]]:
        """Every experiment, with its verdict and its ramp."""
        return list(self._ask("/experiments")["experiments"])

    def shadow_reports(self, model: str) -> list[ShadowReport]:
        """The shadow versions of a model beside what answered."""
        found = self._ask(f"/models/{quote(model, safe='')}/shadow")["reports"]
        try:
            return msgspec.convert(found, list[ShadowReport])
        except msgspec.ValidationError as error:
            raise EkibenError(f"the controller at {self.url} is of another release: {error}") from None

    def document(self) -> dict[str, Any]:
        """The document in force, as plain values."""
        return dict(self._ask("/document")["document"])

    def history(self, key: str | None, limit: int) -> list[dict[str, Any]]:
        """The last changes, newest first."""
        path = "/history" if key is None else f"/experiments/{quote(key, safe='')}/history"
        return list(self._ask(f"{path}?limit={limit}")["entries"])

    def plan(self, key: str, **options: object) -> dict[str, Any]:
        """What an experiment needs; options that are None are left out."""
        return self._ask(f"/experiments/{quote(key, safe='')}/plan?{_query(options)}")

    def plan_model(self, model: str, **options: object) -> dict[str, Any]:
        """The same for an experiment that does not exist yet."""
        return self._ask(f"/models/{quote(model, safe='')}/plan?{_query(options)}")

    def change(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a change."""
        return self._ask(path, body)

    def forget(self, user_id: str, why: str) -> dict[str, Any]:
        """Remove a user's events and overrides, and return what was removed."""
        return self._ask("/events/forget", {"user_id": user_id, "why": why}, _FORGET_TIMEOUT_S)

    def _ask(self, path: str, body: object = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        try:
            answer = json.loads(self._fetch(path, body, timeout_s))
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise EkibenError(
                f"what answers at {self.url} is not an Ekiben controller: "
                "name the right one with EKIBEN_CONTROLLER_URL"
            )
        return answer

    def _fetch(self, path: str, body: object = None, timeout_s: float = TIMEOUT_S) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/api{path}"
        try:
            answer = ask(url, data, self._headers, timeout_s)
        except NoAnswer as error:
            raise NoController(
                f"no controller answers at {self.url} ({error}): start one with `ekiben up`, "
                "or name another with EKIBEN_CONTROLLER_URL"
            ) from None
        if answer.status != 200:
            raise EkibenError(_refusal(answer.status, answer.content))
        return answer.content


def _query(options: Mapping[str, object]) -> str:
    return urlencode({name: str(value) for name, value in options.items() if value is not None})


def _latin(text: str) -> str:
    """UTF-8 in the Latin-1 that HTTP's headers are sent in."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _token(environ: Mapping[str, str], url: str) -> str | None:
    """EKIBEN_ADMIN_TOKEN, else, for a controller on this machine, the token that it keeps on disk."""
    if given := environ.get("EKIBEN_ADMIN_TOKEN"):
        return given
    if not is_loopback(urlsplit(url).hostname or ""):
        return None  # what lies on this disk is no business of another machine's
    try:
        return (data_dir(environ) / "admin_token").read_text().strip()
    except OSError:
        return None


def _refusal(status: int, content: bytes) -> str:
    """A problem+json as lines."""
    try:
        problem = json.loads(content)
        if status == 401:
            return f"{problem['detail']}: set EKIBEN_ADMIN_TOKEN to the controller's"
        if problem.get("errors"):
            return "\n".join(str(line) for line in problem["errors"])
        meanwhile = [
            f"revision {each['revision']}, {each['who']}: {'; '.join(each['changes'])} ({each['why']})"
            for each in problem.get("meanwhile", [])
        ]
        return "\n".join([str(problem.get("detail") or problem["title"]), *meanwhile])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the controller answered {status}"
