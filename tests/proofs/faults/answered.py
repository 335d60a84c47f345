"""What a response was: right, degraded, an error or wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from ekiben.experiments.assignment import bucket_ranges, choose_variation, hash_v2
from tests.proofs.faults.answers import LIVE, TREATMENT, is_answer, model_version

PROBLEM_TYPE: Final = "application/problem+json"


class Kind(StrEnum):
    """What became of a request."""

    RIGHT = "right"
    FALLBACK = "fallback"  # live's answer in place of the treatment's
    UNCACHED = "uncached"  # computed again, though it was answered before
    PROBLEM = "problem"  # an error that the router told: a problem+json
    BROKEN = "broken"  # an error without one: no connection, no answer, an answer cut off
    CUT = "cut"  # it was inside a worker when that was killed
    WRONG = "wrong"


DEGRADED: Final = frozenset({Kind.FALLBACK, Kind.UNCACHED})
ERRORS: Final = frozenset({Kind.PROBLEM, Kind.BROKEN})


@dataclass(slots=True)
class Asked:
    """A request: who asks what, and whether the row was never asked before."""

    request_id: str
    user: str
    row: Mapping[str, Any]
    digest: str
    is_new: bool
    no_cache: bool
    sent: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A request and what became of it; times are of the monotonic clock."""

    sent: float
    done: float
    kind: Kind
    detail: str = ""
    is_repeat: bool = False
    version: str = ""


@dataclass
class Expected:
    """What has to come back. `is_answer` and `tags` tell of the versions, `coverage_moves` of the experiment:
    while it is true a user may be outside of it, but never in the other variant.
    """

    experiment: str
    is_answer: Callable[[str, Mapping[str, Any], object], bool] = is_answer
    tags: Mapping[str, str] = field(
        default_factory=lambda: {version: model_version(version) for version in (LIVE, TREATMENT)}
    )
    coverage_moves: bool = False
    _ranges: list[tuple[float, float]] = field(default_factory=lambda: bucket_ranges(2, 1.0))
    _seen: set[str] = field(default_factory=set)
    _answered: dict[tuple[str, str], float] = field(default_factory=dict)

    def variant(self, user: str) -> str:
        """The user's variant, at full coverage."""
        return ("control", "treatment")[choose_variation(hash_v2(self.experiment, user), self._ranges)]

    def judge(self, asked: Asked, status: int, content_type: str, body: bytes, now: float) -> Sample:
        """What a complete response was."""
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return Sample(asked.sent, now, Kind.BROKEN, f"{status} without JSON: {body[:100]!r}")
        if status != 200:
            return self._judge_problem(asked, status, content_type, said, now)
        wrong = self._wrong(asked, said)
        if wrong:
            return Sample(asked.sent, now, Kind.WRONG, f"{wrong}: {body[:300]!r}")
        kind, is_repeat = self._degraded(asked, said, now)
        return Sample(asked.sent, now, kind, is_repeat=is_repeat, version=said["version"])

    def _judge_problem(self, asked: Asked, status: int, kind: str, said: Any, now: float) -> Sample:
        if not kind.startswith(PROBLEM_TYPE) or type(said) is not dict or said.get("status") != status:
            return Sample(asked.sent, now, Kind.BROKEN, f"{status}, no problem+json")
        if said.get("request_id") != asked.request_id:
            return Sample(asked.sent, now, Kind.WRONG, f"{status} of another request")
        return Sample(asked.sent, now, Kind.PROBLEM, f"{status} {said.get('detail')}")

    def _wrong(self, asked: Asked, said: Any) -> str:
        """Why a 200 is wrong, or nothing."""
        if type(said) is not dict or said.get("request_id") != asked.request_id:
            return "another request's answer"
        version = said.get("version")
        if type(version) is not str or version not in self.tags:
            return "no such version"
        if not self.is_answer(version, asked.row, said.get("prediction")):
            return "not what the version answers for the row"
        if said.get("model") != "credit" or said.get("model_version") != self.tags[version]:
            return "another model version"
        if said.get("prediction_id") in self._seen:
            return "a prediction_id that was given before"
        self._seen.add(said["prediction_id"])
        if said.get("cached") and (asked.is_new or asked.no_cache):
            return "cached, but never asked before"
        return self._misrouted(asked, said, version)

    def _misrouted(self, asked: Asked, said: dict[str, Any], version: str) -> str:
        own = self.variant(asked.user)
        variant, experiment = said.get("variant"), said.get("experiment")
        if variant is None and self.coverage_moves:
            outside = version == LIVE and experiment is None and "fallback_from" not in said
            return "" if outside else "outside the experiment, yet not simply live"
        if variant != own or experiment != self.experiment:
            return f"the user is in {own}"
        assigned = LIVE if own == "control" else TREATMENT
        fell_back_from = said.get("fallback_from")
        if fell_back_from is None:
            return "" if version == assigned else f"the user's version is {assigned}"
        return "" if fell_back_from == assigned == TREATMENT and version == LIVE else "no such fallback"

    def _degraded(self, asked: Asked, said: dict[str, Any], now: float) -> tuple[Kind, bool]:
        key = said["version"], asked.digest
        answered = self._answered.setdefault(key, now)
        # A store takes at most a second; two requests at once are no repeat.
        is_repeat = not asked.no_cache and answered < asked.sent - 1.0
        if "fallback_from" in said:
            return Kind.FALLBACK, is_repeat
        if is_repeat and not said["cached"]:
            self._answered[key] = now
            return Kind.UNCACHED, True
        return Kind.RIGHT, is_repeat
