"""Experiments files that are half saved, old, refused, or at odds with what a verb or a ramp did."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from ekiben.experiments.document import Document
from ekiben.state.documents.experiments_file import BadExperimentsFile, parse_experiments
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.documents import as_text
from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.watched import Watched
from tests.proofs.attacks.wire import get
from tests.proofs.faults.answers import TREATMENT
from tests.proofs.faults.station import EXPERIMENT

_HALF_S: Final = 0.25
_LONG_HALF_S: Final = 5.0

_GUARDED: Final[dict[str, Any]] = {
    "coverage": 10,
    "min_users": 5000,
    "metrics": [
        {"name": "profit", "outcome": "profit", "kind": "mean"},
        {"name": "defaults", "outcome": "default", "kind": "proportion", "better": "lower",
         "guardrail": {"max_worse": 0.1}},
    ],
    "ramp": {"steps": [10, 50, 100], "every": "1h", "min_users_per_step": 5000},
}  # fmt: skip
"""What a file that lost its end opens: everything below `coverage` has a wider default."""


def _guarded(installation: Installation, **fields: Any) -> dict[str, Any]:
    data = installation.document()
    experiment = data["experiments"][EXPERIMENT]
    # Behind everything that an experiment must have: it can be cut off.
    del experiment["coverage"]
    experiment |= {**fields, **_GUARDED}
    return data


def _cuts(text: str) -> list[int]:
    """Where the text can be cut so that its first half is another document that can be read: one place for
    each such document.
    """
    documents = [parse_experiments(text.encode()).document]
    found = []
    for place in range(1, len(text)):
        try:
            half = parse_experiments(text[:place].encode()).document
        except BadExperimentsFile:
            continue
        if half not in documents:
            documents.append(half)
            found.append(place)
    return found


def _wrongly_in_force(watched: Watched, *allowed: Document) -> list[dict[str, Any]]:
    good = [document.experiments[EXPERIMENT].coverage for document in allowed]
    minima = [document.experiments[EXPERIMENT].min_users for document in allowed]
    found = []
    for data in map(orjson.loads, watched.history()):
        experiment = data["experiments"].get(EXPERIMENT, {})
        if experiment.get("coverage", 100.0) not in good or experiment.get("min_users", 500) not in minima:
            found.append(experiment)
    return found


def saved_in_two_steps(installation: Installation) -> Found:
    """An editor writes the first part of a file, and the rest a moment later: at every place that leaves a
    document which can be read.
    """
    before = as_text(_guarded(installation))
    after = as_text(_guarded(installation, min_days=8.0))
    cuts = _cuts(after)
    with Watched(installation, before) as watched:
        for place in cuts:
            watched.write(after[:place])
            time.sleep(_HALF_S)
            watched.write(after)
        state = watched.settles()
        wrong = _wrongly_in_force(watched, parse_experiments(after.encode()).document)
    return Found(
        not wrong and state == "in force",
        f"{len(wrong)} half files applied at {len(cuts)} places, the whole one is {state}",
    )


def half_for_five_seconds(installation: Installation) -> Found:
    """The half that opens most lies there for longer than an editor takes."""
    text = as_text(_guarded(installation))
    half = text[: text.index("    coverage:")]
    with Watched(installation, text) as watched:
        watched.write(half)
        time.sleep(_LONG_HALF_S)
        told = watched.status()
        watched.write(text)
        state = watched.settles()
        wrong = _wrongly_in_force(watched, parse_experiments(text.encode()).document)
    return Found(
        not wrong and state == "in force" and told.get("state") in ("waits", "refused"),
        f"{len(wrong)} applied; meanwhile it {told.get('state')}",
    )


def stray_router(installation: Installation) -> Found:
    """`python -m router` with a file of its own, on the Redis of a running installation."""
    before = installation.held()
    file = installation.folder / "stray.yaml"
    file.write_text(as_text(installation.document(coverage=1.0)))
    with installation.other(EKIBEN_EXPERIMENTS_FILE=str(file)) as other:
        installation.wait(lambda: get(other.port, "/readyz").status == 200, "it is not ready")
        changed = installation.comes_true(lambda: installation.held().revision != before.revision, 4.0)
    coverage = installation.held().document.experiments[EXPERIMENT].coverage
    return Found(not changed, f"coverage is {coverage:g} %, of 100 %")


def older_file_at_start(installation: Installation) -> Found:
    """A controller that starts where an older file lies."""
    old, new = as_text(installation.document(coverage=50)), as_text(installation.document(coverage=10))
    with Watched(installation, old) as watched:
        watched.write(new)
        watched.settles()
        watched.stop()
        watched.write(old)
        watched.start()
        state = watched.settles()
        coverage = watched.document.experiments[EXPERIMENT].coverage
    return Found(coverage == 10 and state == "late", f"coverage stays {coverage:g} %, the file is {state}")


def comment_beside_a_verb(installation: Installation) -> Found:
    """An experiment is paused; then somebody adds a comment to the file, in which it runs."""
    text = as_text(installation.document())
    with Watched(installation, text) as watched:
        assert watched.verb(f"/experiments/{EXPERIMENT}/pause").status == 200
        watched.write(text + "# reviewed\n")
        state = watched.settles()
        status = watched.document.experiments[EXPERIMENT].status
    return Found(
        str(status) == "paused" and state == "in force", f"the experiment is {status}, the file {state}"
    )


def both_changed_one_field(installation: Installation) -> Found:
    """The ramp went from 10 to 50, the file says 20."""
    text = as_text(installation.document(coverage=10))
    with Watched(installation, text) as watched:
        data = installation.document(coverage=50)
        installation.store(data, watched.redis.url)
        watched.write(as_text(installation.document(coverage=20)))
        state = watched.settles()
        lines = " ".join(watched.status().get("lines", ()))
        coverage = watched.document.experiments[EXPERIMENT].coverage
    held = coverage == 50 and state == "refused" and "50" in lines and "20" in lines
    return Found(held, f"coverage {coverage:g} %, the file is {state}: {lines[:80]}")


def first_edit_after_a_promotion(installation: Installation) -> Found:
    """The treatment was promoted; the newcomer changes a time-out, then takes the experiment out."""
    data = installation.document()
    with Watched(installation, as_text(data)) as watched:
        assert watched.verb(f"/experiments/{EXPERIMENT}/promote").status == 200
        data["models"]["credit"]["timeout_ms"] = 400
        watched.write(as_text(data))
        first = watched.settles()
        model = watched.document.models["credit"]
        edited = (model.live, model.timeout_ms)
        data["experiments"] = {}
        watched.write(as_text(data))
        second = watched.settles()
        live = watched.document.models["credit"].live
    held = first == "in force" and edited == (TREATMENT, 400) and live == TREATMENT
    return Found(held, f"the edit is {first}, without the experiment {second}, live stays {live}")


def refused_edit_is_seen(installation: Installation) -> Found:
    """A file with a mistake: who looks anywhere sees it."""
    with Watched(installation, as_text(installation.document())) as watched:
        watched.write(as_text(installation.document(coverage=101)))
        watched.settles()
        why = "must be at least 0 and at most 100, not 101"
        places = {
            "the API": why in str(watched.status().get("lines")),
            "/healthz": why.encode() in watched.page("/healthz").body,
            "/metrics": b"ekiben_experiments_file_refused 1" in watched.page("/metrics").body,
            "the dashboard": why.encode() in watched.page("/").body,
            "ekiben status": why in watched.command("status").output,
        }
    silent = [place for place, seen in places.items() if not seen]
    return Found(not silent, f"not seen in {', '.join(silent)}" if silent else "seen in all five")


ATTACKS: Final = (
    Attack(
        "A7", "a file that is saved in two steps, at every place", "no half is applied", saved_in_two_steps
    ),
    Attack("A7", "a half file that opens much, for 5 s", "waits, not applied", half_for_five_seconds),
    Attack("B4", "a stray router with a file of its own", "changes nothing", stray_router),
    Attack("B4", "an older file where a controller starts", "late, not applied", older_file_at_start),
    Attack("B4", "a comment beside a paused experiment", "stays paused", comment_beside_a_verb),
    Attack("B4", "ramp and file change one field", "refused, both values shown", both_changed_one_field),
    Attack("B24", "the first edits after a promotion", "taken, live stays", first_edit_after_a_promotion),
    Attack("B5", "a refused edit", "seen in five places", refused_edit_is_seen),
)
