"""Asking a server what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekiben.clients.http import JSON, ask
from ekiben.experiments.checks import ENDPOINT
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.probing.proposal import Proposal, of_bentoml, of_native
from ekiben.process.http.client import NoAnswer
from ekiben.terminal.errors import EkibenError, UsageError

_TIMEOUT_S: Final = 10.0


def probe(url: str) -> list[Proposal]:
    """What to write for the server at `url`, one entry for each API that may be meant.

    Raises EkibenError where nothing answers, or what answers is none that a dialect is known for.
    """
    url = url.rstrip("/")
    if ENDPOINT.fullmatch(url) is None:
        raise UsageError(f"{url} is not an endpoint: write http://host:port, with nothing after it")
    info = _told(url, "/model/info")
    if info is not None and isinstance(info.get("model_version"), str):
        return [of_native(url, info)]
    docs = _told(url, "/docs.json")
    found = [] if docs is None else [each for each in of_bentoml(url, docs) if _is_sound(each)]
    if not found:
        raise EkibenError(
            f"what answers at {url} is no service of Ekiben's (GET /model/info), and no BentoML service with "
            "an API of JSON (GET /docs.json): docs/dialects.md has what can be written by hand"
        )
    return found


def as_yaml(proposals: Sequence[Proposal]) -> str:
    """The entries, one below the other."""
    names = (f"v{number}" for number in range(1, len(proposals) + 1))
    return "\n\n".join(each.as_yaml(name) for name, each in zip(names, proposals, strict=True))


def _told(url: str, path: str) -> Mapping[str, Any] | None:
    """The JSON object at `path`, None where there is none."""
    try:
        answer = ask(url + path, None, JSON, _TIMEOUT_S)
    except NoAnswer as error:
        raise EkibenError(
            f"nothing answers at {url} ({error}): start the server, or name it as it listens"
        ) from None
    try:
        told = json.loads(answer.content) if answer.status == 200 else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _is_sound(proposal: Proposal) -> bool:
    """Whether the experiments file takes it: a server may say anything of itself."""
    try:
        parse_document({"models": {"m": {"live": "v1", "versions": {"v1": dict(proposal.version)}}}})
    except DocumentError:
        return False
    return True
