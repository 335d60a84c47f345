"""Outcomes accepted since the start are the counted ones and every line of what was left out, exactly."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ekiben.control.analysis.reasons import MISTAKES, ORDER, WORDS, Reason
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.report import Report
from ekiben.state.documents.document import Stored
from tests.control.analysis.events import DAY, HOUR, KEY, START, Log, in_variant, left_out, metric, stored
from tests.router.test_documentation import table_rows

ROOT: Final = Path(__file__).parents[3]
HELD: Final = stored(
    metric(covariate="past"),
    metric("bought", "proportion", outcome="orders", window_hours=48),
    metric("per order", "ratio", outcome="profit", denominator="orders"),
    metric("good", "label", window_hours=48),
    metric("sharp", "label", outcome="good", window_hours=24, measure="accuracy"),
    metric("mood", "label", window_hours=48, classes=["sad", "plain", "glad"]),
    metric("calls", arrives_within=24),
    metric("margin", only_where="decisions_differ"),
)


def _user(log: Log, name: str, **columns: object) -> str:
    log.exposure(name, at=HOUR, **columns)
    return name


def _label(log: Log, name: str, value: float, at: float = 2 * HOUR, **columns: object) -> None:
    columns = {"score": 0.7} | columns
    log.outcome(value, at=at, name="good", prediction=log.exposure(name, at=HOUR, **columns))


def _mood(log: Log, name: str, value: float, scores: list[float]) -> None:
    log.outcome(value, at=2 * HOUR, name="mood", prediction=log.exposure(name, at=HOUR, scores=scores))


def _year_one(log: Log) -> None:
    log.outcome(1, user=_user(log, "year-one"), at=-62_135_596_800.0 - START)


def _twice(log: Log) -> None:
    user = _user(log, "twice")
    log.outcome(1, at=2 * HOUR, user=user, event_id="same-id")
    log.outcome(9, at=2 * HOUR, user=user, event_id="same-id")


def _labels_again(log: Log) -> None:
    prediction = log.exposure("labelled-twice", at=HOUR, score=0.2)
    log.outcome(1, at=2 * HOUR, name="good", prediction=prediction)
    log.outcome(0, at=3 * HOUR, name="good", prediction=prediction)


def _crossed(log: Log) -> None:
    _user(log, "crossed", variant="treatment")
    log.exposure("crossed", "control", at=3 * HOUR)
    log.outcome(1, at=2 * HOUR, user="crossed")


def _too_early(log: Log) -> None:
    log.outcome(1, at=0.5 * HOUR, user=_user(log, "hasty"))


KINDS: Final[dict[Reason, Callable[[Log], object]]] = {
    Reason.BEFORE_FIRST: _too_early,
    Reason.BEFORE_START: lambda log: log.outcome(1, at=-5 * HOUR, user=_user(log, "local-time")),
    Reason.NO_TIME: _year_one,
    Reason.LATE: lambda log: log.outcome(1, at=5 * DAY, user=_user(log, "slow")),
    Reason.ARRIVED_LATE: lambda log: log.outcome(1, at=2 * HOUR, user=_user(log, "slow-post"), name="calls"),
    Reason.WAITING: lambda log: log.outcome(1, at=29.9 * DAY, user=_recent(log)),
    Reason.UNKNOWN_USER: lambda log: log.outcome(1, user="never-seen"),
    Reason.USER_BLANK: lambda log: log.outcome(1, user="u-7-with-a-blank", id_hint="blank"),
    Reason.USER_DECIMAL: lambda log: log.outcome(1, user="7.0", id_hint="decimal"),
    Reason.OVERRIDE: lambda log: log.outcome(1, user=_user(log, "qa", assigned_by="override")),
    Reason.OTHER_PHASE: lambda log: log.outcome(1, user=_user(log, "early-bird", phase=7)),
    Reason.OTHER_EXPERIMENT: lambda log: log.outcome(1, user=_user(log, "elsewhere", experiment="other")),
    Reason.OTHER_MODEL: lambda log: log.outcome(
        1, prediction=log.exposure("m", model="churn", experiment="o")
    ),
    Reason.UNKNOWN_PREDICTION: lambda log: log.outcome(1, prediction="no-such-prediction"),
    Reason.PREDICTION_BLANK: lambda log: log.outcome(1, prediction=log.exposure("blank", at=HOUR) + " "),
    Reason.MISSPELLED_NAME: lambda log: log.outcome(1, user=_user(log, "shouting"), name="Profit"),
    Reason.OTHER_NAME: lambda log: log.outcome(1, user=_user(log, "two-trials"), name="churned"),
    Reason.UNUSED_NAME: lambda log: log.outcome(1, user=_user(log, "extra"), name="page views"),
    Reason.VALUE: lambda log: log.outcome(1e200, at=2 * HOUR, user=_user(log, "rich")),
    Reason.REPEATED_ID: _twice,
    Reason.IN_TWO_VARIANTS: _crossed,
    Reason.NO_CLASS: lambda log: _mood(log, "puzzled", 3, [0.2, 0.3, 0.5]),
    Reason.OTHER_CLASSES: lambda log: _mood(log, "two-minds", 1, [0.5, 0.5]),
    Reason.NOT_BINARY: lambda log: _label(log, "unsure", 0.5),
    Reason.LABEL_OF_USER: lambda log: log.outcome(1, at=2 * HOUR, user=_user(log, "p"), name="good"),
    Reason.OF_USER: lambda log: log.outcome(1, at=2 * HOUR, user=_user(log, "whole"), name="margin"),
    Reason.UNSCORED: lambda log: _label(log, "fell-back", 1, result="fallback", version="v1"),
    Reason.LABEL_REPEATED: _labels_again,
    Reason.COVARIATE_AFTER: lambda log: log.outcome(1, at=2 * HOUR, user=_user(log, "now"), name="past"),
}


def _recent(log: Log) -> str:
    log.exposure("newcomer", at=29.5 * DAY)
    return "newcomer"


def two_experiments() -> Stored:
    """`HELD` with another experiment, whose metric has a name of its own."""
    document = HELD.document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    other = document["experiments"][KEY] | {"status": "draft", "metrics": [metric("churned")]}
    document["experiments"]["other"] = other
    return Stored("here", 3, "", parse_document(document))


def books(report: Report) -> tuple[int, int]:
    """What was accepted, and what is counted or told of."""
    assert report.outcomes is not None
    told = sum(each.count for each in report.left_out if each.what == "outcomes")
    assert not [each for each in report.left_out if each.what == "outcomes" and not each.advice]
    assert "other" not in left_out(report, "outcomes")
    return report.outcomes.accepted, report.outcomes.counted + told


def good(log: Log) -> None:
    """Five outcomes that count, one of each kind of metric."""
    log.exposure("first-of-all", at=0)
    user = _user(log, "good-user")
    log.outcome(5, at=2 * HOUR, user=user)
    log.outcome(1, at=2 * HOUR, user=user, name="orders")
    log.outcome(3, at=-DAY, user=user, name="past")
    _label(log, "good-label", 1)
    _mood(log, "good-mood", 2, [0.2, 0.3, 0.5])


def test_an_outcome_that_does_not_count_is_left_out_for_its_reason(log: Log) -> None:
    good(log)
    counted = {Reason.REPEATED_ID, Reason.LABEL_REPEATED}  # the first of two
    for kind in KINDS.values():
        kind(log)
    report = log.report(two_experiments())
    assert books(report) == (log.held("outcome"), 5 + len(counted) + len(KINDS))
    assert left_out(report, "outcomes") == {str(reason): 1 for reason in KINDS}


def test_whatever_is_mixed_accepted_is_counted_and_left_out_exactly(log: Log) -> None:
    rng = random.Random(20)
    good(log)
    for kind in [*KINDS.values(), *rng.choices(list(KINDS.values()), k=5)]:
        kind(log)
    users, names = [*log.users(), "nobody"], ["profit", "orders", "good", "mood", "past", "Profit", "other"]
    for _ in range(400):
        whose = {"user": rng.choice(users)} if rng.random() < 0.5 else {"prediction": f"p{rng.randrange(90)}"}
        log.outcome(
            rng.choice([0, 1, 2, 0.5, -3, 1e200]),
            at=rng.uniform(-3 * DAY, 30 * DAY),
            name=rng.choice(names),
            event_id=f"id-{rng.randrange(380)}",
            **whose,
        )
    sent = log.held("outcome")
    for now in (DAY, 30 * DAY):
        accepted, told = books(log.report(two_experiments(), now=now))
        assert accepted == told == sent


def test_outcomes_from_before_the_phase_are_accepted_where_they_count(log: Log) -> None:
    user = _user(log, "u1")
    log.outcome(3, at=-DAY, user=user, name="past", received_at=START - DAY)
    log.outcome(3, at=-DAY, user=user, received_at=START - DAY)
    assert books(log.report(HELD)) == (1, 1)


def test_what_is_counted_is_what_is_summed(log: Log) -> None:
    for number, at in enumerate((HOUR - 1, HOUR, 2 * HOUR, 25 * HOUR - 1, 25 * HOUR)):
        user = _user(log, f"u{number}")
        log.outcome(1, at=at, user=user)
    report = log.report(stored(metric()))
    assert report.outcomes is not None
    found = in_variant(report)
    assert report.outcomes.counted == found.mean * found.users == 3


def test_a_misspelled_name_is_told_with_the_one_that_was_meant(log: Log) -> None:
    good(log)
    log.outcome(1, user=_user(log, "u1"), name="Profit ")
    (line,) = (each for each in log.report(HELD).left_out if each.code == "misspelled_name")
    assert line.reason == '"Profit ": a name that no metric uses'
    assert line.advice == 'Did you mean "profit"? Correct the name where the outcome is sent.'


def test_times_that_are_early_by_a_zone_s_offset_are_told_as_such(log: Log) -> None:
    good(log)
    for number in range(3):
        at, user = 2 * HOUR + number, _user(log, f"u{number}")
        log.outcome(1, at=at - 5 * HOUR, user=user, received_at=START + at + 20)
    (line,) = (each for each in log.report(HELD).left_out if each.code == "before_start")
    assert line.advice.startswith("Half of them say that they happened 5 h or more before they arrived")


def test_more_names_than_ten_are_one_line(log: Log) -> None:
    good(log)
    for number in range(30):
        log.outcome(1, user="good-user", name=f"unheard of {number}")
    lines = [each for each in log.report(HELD).left_out if each.code == "unused_name"]
    assert [each.count for each in lines] == [1] * 10 + [20]


def test_the_page_of_reasons_and_the_alert_have_every_reason() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table_rows("left-out.md")}
    assert rows == {
        str(reason): [*words, "yes" if reason in MISTAKES else ""] for reason, words in WORDS.items()
    }
    rules = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
    (names, *_) = re.findall(r'ekiben_outcomes_left_out\{reason=~"([^"]*)"', rules)
    assert set(names.split("|")) == set(map(str, MISTAKES))


def test_every_reason_has_a_sentence_that_says_what_to_change() -> None:
    assert set(WORDS) == set(ORDER) - {Reason.COUNTED}
    assert set(KINDS) == set(WORDS)
    assert set(WORDS) > MISTAKES
    for words, advice in WORDS.values():
        assert words == words.strip()
        assert advice.endswith(".")
