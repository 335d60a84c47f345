"""What the admin API tells, as plain values: what the desk knows, nothing computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec

from ekiben.control.acting.ramps import refusal
from ekiben.control.desk import Desk
from ekiben.experiments.changes.differences import lines_about
from ekiben.experiments.document import Experiment
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.applying import FileStanding
from ekiben.state.documents.audit import Entry
from ekiben.state.documents.document import Stored

Values = dict[str, Any]
_OF_A_BEAT: Final = ("host", "pid", "revision", "draining", "loopback", "outcomes_open", "panic")
_OF_AN_ENTRY: Final = ("id", "at", "who", "why", "lineage", "revision")


def status_view(desk: Desk) -> Values:
    """The installation at a glance."""
    stored = desk.stored
    return {
        "lineage": stored.lineage if stored else None,
        "revision": stored.revision if stored else None,
        "leading": desk.leading(),
        "state_away": desk.state_away,
        "state": desk.durability.view(),
        "recorder_lag_s": desk.recorder_lag_s(),
        "failing": dict(desk.failing()),
        "ramps_refused": refusal(desk.beats),
        "note": desk.note,
        "file": file_view(desk.file()),
        "not_run": dict(stored.kept.not_run) if stored else {},
        "joined": joined_view(stored),
        "models": _models(stored),
        "experiments": experiment_views(desk),
        "workers": [{name: getattr(beat, name) for name in _OF_A_BEAT} for beat in desk.beats],
        "traffic": msgspec.to_builtins(desk.traffic),
    }


def file_view(standing: FileStanding | None) -> Values | None:
    """How the experiments file stands that this controller looks after; None where it has none."""
    return None if standing is None else asdict(standing)


def joined_view(stored: Stored | None) -> Values | None:
    """When two histories of the document were last joined, and what was taken of them; None if never."""
    joined = stored.record.joined if stored is not None and stored.record is not None else ""
    at, _, words = joined.partition("|")
    return {"at": float(at), "sentence": words} if words else None


def experiment_views(desk: Desk) -> list[Values]:
    """Every experiment, with its verdict and its ramp."""
    experiments = desk.stored.document.experiments if desk.stored else {}
    return [experiment_view(desk, key, experiment) for key, experiment in experiments.items()]


def experiment_view(desk: Desk, key: str, experiment: Experiment) -> Values:
    """One experiment: what the document says (defaults too), its last verdict, where its ramp stands."""
    report = desk.reports.get(key)
    state = desk.ramps.get(key) if experiment.ramp is not None else None
    return {
        "key": key,
        "revision": desk.stored.revision if desk.stored else None,
        **experiment.model_dump(mode="json", by_alias=True),
        "users": sum(each.users for each in report.variants) if report else None,
        "verdict": msgspec.to_builtins(report.verdict) if report else None,
        "report_at": report.at if report else None,
        "ramp_state": msgspec.to_builtins(state) if state else None,
        "ramp_refused": refusal(desk.beats) if experiment.ramp is not None else None,
    }


def entry_view(entry: Entry, key: str | None, *, documents: bool) -> Values:
    """One change; of an experiment only what concerns it, and with `documents` what was before and after."""
    view: Values = {name: getattr(entry, name) for name in _OF_AN_ENTRY}
    view["changes"] = list(entry.changes if key is None else lines_about(entry.changes, key))
    if documents:
        before, after = (_part(data, key) for data in entry.raw)
        view |= {"before": before, "after": after}
    return view


def shadow_views(reports: Sequence[ShadowReport], model: str) -> list[Values]:
    """The shadow reports of a model."""
    return [msgspec.to_builtins(report) for report in reports if report.model == model]


def _models(stored: Stored | None) -> list[Values]:
    models = stored.document.models if stored else {}
    return [
        {"name": name, "live": model.live, "versions": list(model.versions), "shadow": dict(model.shadow)}
        for name, model in models.items()
    ]


def _part(data: Any, key: str | None) -> Any:
    if key is None or not isinstance(data, Mapping):
        return data
    experiments = data.get("experiments")
    return experiments.get(key) if isinstance(experiments, Mapping) else None
