"""Outcomes that do not count, come late, are forged or are imported from files."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.wire import post
from tests.proofs.attacks.wrong import GOOD, WRONG, Known, Outcome, drawn
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.station import EXPERIMENT

_WINDOW_H: Final = 0.0028
"""10 seconds."""
_DRAWN: Final = 5
_KEYS: Final = ("the-key-of-the-first-client", "the-key-of-the-second-one")
_RECORDED_S: Final = 30.0

_METRICS: Final = [
    {"name": "profit", "outcome": "profit", "kind": "mean", "window_hours": _WINDOW_H},
    {"name": "bad", "outcome": "bad", "kind": "label", "window_hours": _WINDOW_H},
]


class _Phase:
    """The experiment in a phase of this attack's own, so that nobody else's outcomes are in its report."""

    def __init__(self, installation: Installation, **fields: Any) -> None:
        self._installation = installation
        self.name = f"{time.monotonic_ns() % 10**9}"
        self._fields = {
            "phase": 1 + int(time.time()) % 900_000,
            "seed": self.name,
            "metrics": _METRICS,
            "overrides": {"u-override": "treatment"},
            **fields,
        }
        installation.put(installation.document(status="paused"))
        self.put()

    def put(self, **fields: Any) -> None:
        """The document with the phase, and with other fields."""
        self._installation.put(self._installation.document(**self._fields, **fields))

    def predict(self, user: str | None, **features: Any) -> dict[str, Any]:
        """Ask for a prediction; the answer."""
        body = {"features": {"row": self.name, "amount": 1, **features}}
        if user is not None:
            body["user_id"] = user
        return post(self._installation.port, "/predict/credit", body).data or {}

    def report(self) -> dict[str, Any]:
        """The last report; an empty one where there is none."""
        answer = self._installation.admin(f"/experiments/{EXPERIMENT}/report")
        data = answer.data if answer.status == 200 else None
        return data if data and data["phase"] == self._fields["phase"] else {}

    def accepted(self) -> int:
        """How many outcomes the last report accounts for."""
        return int((self.report().get("outcomes") or {}).get("accepted", -1))


def _send(installation: Installation, outcomes: Sequence[Outcome]) -> int:
    """Send each by itself; how many were answered with 202."""
    sent = (post(installation.port, "/outcomes", {"outcomes": [each]}) for each in outcomes)
    return sum(answer.status == 202 for answer in sent)


def accounted_for(installation: Installation) -> Found:
    """Every way to send an outcome that does not count, and some that nobody thought of."""
    phase = _Phase(installation)
    seed = random.SystemRandom().randrange(10**6)
    generator = random.Random(seed)
    accepted = 0
    for user in ("u-override", "u-without"):
        phase.predict(user if user == "u-override" else None)
    for place, make in enumerate([*GOOD, *WRONG.values()] + [None] * _DRAWN):
        user = f"u-{phase.name}-{place}"
        known = Known(user, phase.predict(user)["prediction_id"], time.time())
        accepted += _send(installation, [drawn(generator, known)] if make is None else make(known))

    installation.comes_true(lambda: phase.accepted() >= accepted, _RECORDED_S)
    # The last window closes: what waited counts.
    installation.comes_true(lambda: "waiting" not in _reasons(phase.report()), _RECORDED_S)
    report = phase.report()
    found = report.get("outcomes") or {"accepted": 0, "counted": 0}
    reasons = _reasons(report)
    mute = sum(not (line["reason"] and line.get("advice")) for line in _lines(report))
    held = (
        found["accepted"] == accepted == found["counted"] + reasons.total()
        and found["counted"] > 0
        and reasons["other"] == mute == 0
    )
    return Found(
        held,
        f"{accepted} got 202; {found['counted']} counted + {reasons.total()} left out "
        f"for {len(reasons)} reasons, {reasons['other']} other, {mute} without a sentence (seed {seed})",
    )


def _lines(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in report.get("left_out", ()) if line["what"] == "outcomes"]


def _reasons(report: dict[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in _lines(report):
        found[str(line.get("code"))] += line["count"]
    return found


def after_the_end(installation: Installation) -> Found:
    """An experiment is rolled back, its report is made, and then the outcomes come."""
    phase = _Phase(installation)
    told = [phase.predict(f"u-{phase.name}-{number}")["prediction_id"] for number in range(20)]
    installation.wait(lambda: phase.report() != {}, "there is no report", _RECORDED_S)
    phase.put(status="rolled_back")
    installation.wait(
        lambda: phase.report().get("status") == "rolled_back", "there is no report of the end", _RECORDED_S
    )
    before = phase.accepted()
    sent = _send(installation, [{"prediction_id": each, "name": "profit", "value": 1.0} for each in told])
    seen = installation.comes_true(lambda: phase.accepted() >= max(before, 0) + sent, _RECORDED_S)
    return Found(seen, f"{sent} came after the end, the report knows of {phase.accepted() - max(before, 0)}")


def refused_rows(installation: Installation) -> Found:
    """Clients whose every second row is refused with 422."""
    phase = _Phase(installation)
    bad = {"poison": "refused", "in": [LIVE, TREATMENT]}
    for number in range(40):
        phase.predict(f"u-{phase.name}-{number % 20}", number=number, **(bad if number % 2 else {}))

    def rates() -> list[float]:
        metrics = [each for each in phase.report().get("metrics", ()) if each["name"] == "error_rate"]
        return [each["mean"] for metric in metrics for each in metric["variants"] if each["mean"] is not None]

    installation.wait(lambda: len(rates()) == 2, "there is no report", _RECORDED_S)
    return Found(not any(rates()), f"error_rate {', '.join(f'{100 * rate:.0f} %' for rate in rates())}")


def guessed_ids(installation: Installation) -> Found:
    """Prediction ids, one after the other: whoever has one must not guess the next."""
    said = [
        post(installation.port, "/predict/credit", {"features": {"row": f"id-{number}", "amount": 1}}).data
        for number in range(60)
    ]
    try:
        ids = [uuid.UUID(each["prediction_id"]) for each in said]
    except ValueError:
        return Found(False, f"such as {said[0]['prediction_id']}")
    randoms = [each.int & (2**62 - 1) for each in ids]
    nearest = min(abs(one - other) for one, other in itertools.pairwise(randoms))
    versions = {each.version for each in ids}
    return Found(
        versions == {7} and nearest > 2**40, f"UUIDs of version {versions}, apart by {float(nearest):.0e}"
    )


def forged_outcome(installation: Installation) -> Found:
    """Another client sends an outcome with the id that a client is about to use."""
    name = f"forged-{time.monotonic_ns()}"
    with installation.other(EKIBEN_API_KEYS=",".join(_KEYS)) as other:
        statuses = [
            post(
                other.port,
                "/outcomes",
                {"outcomes": [{"user_id": "victim", "name": name, "value": value, "id": "invoice-17"}]},
                authorization=f"Bearer {key}",
            ).status
            for value, key in ((-1000.0, _KEYS[0]), (12.5, _KEYS[1]))
        ]
    rows = _recorded(installation, name, 2)
    ids = {row["event_id"] for row in rows}
    true = [row for row in rows if row["value"] == 12.5]
    return Found(
        statuses == [202, 202] and bool(true) and len(ids) == 2,
        f"answered {statuses}, the true one is {'kept' if len(ids) == 2 else 'taken for a repetition'}",
    )


def imported_numbers(installation: Installation) -> Found:
    """`ekiben outcomes import --positive 1` of numbers as tools write them, and of what is no number."""
    name = f"imported-{time.monotonic_ns()}"
    values = {"one": "1", "float": "1.0", "padded": "01", "exponent": "1e0", "zero": "0", "nil": "0.0"}
    nothing = {"nan": "NaN", "empty": "", "null": "null"}
    file = installation.folder / "labels.csv"
    lines = [f"u-{user},{value}" for user, value in (values | nothing).items()]
    file.write_text("user_id,value\n" + "\n".join(lines) + "\n")
    ran = installation.command("outcomes", "import", str(file), "--name", name, "--positive", "1")
    rows = _recorded(installation, name, len(values))
    ones = sum(row["value"] == 1.0 for row in rows)
    return Found(
        ones == 4 and len(rows) == len(values) and "Traceback" not in ran.output,
        f"of 4 ones {ones} are 1, {max(len(rows) - len(values), 0)} of 3 missing ones count",
    )


def _recorded(installation: Installation, name: str, number: int) -> list[dict[str, Any]]:
    """The outcomes of that name in event files, once there are so many."""
    rows: list[dict[str, Any]] = []

    def all_there() -> bool:
        rows.clear()
        files = EventFiles(str(installation.events), {})
        if not list(installation.events.rglob("*.parquet")):
            return False
        with DuckDBTables(files) as tables:
            mine = tables.of("outcome").filter(lambda t: t.name == name)
            rows.extend(tables.rows(mine.select("event_id", "value", "user_hash")))
        return len(rows) >= number

    installation.comes_true(all_there, _RECORDED_S)
    time.sleep(1.5)  # what should not come has come by then
    all_there()
    return rows


ATTACKS: Final = (
    Attack(
        "A6",
        f"{len(WRONG)} kinds of wrong outcomes and {_DRAWN} drawn at random",
        "accepted = counted + left out, 0 other",
        accounted_for,
    ),
    Attack("B2", "outcomes after the end of an experiment", "in its report", after_the_end),
    Attack("B7", "an import of 1.0, 01, NaN and nothing", "numbers as numbers", imported_numbers),
    Attack("B12", "clients whose rows are refused", "error_rate stays 0", refused_rows),
    Attack("B21", "guessing the next prediction id", "random", guessed_ids),
    Attack("B21", "an outcome with another client's id", "the true one counts", forged_outcome),
)
