"""Why an accepted outcome does not count, and what its sender can change: the one list of reasons.

Each outcome has one reason for each metric that uses its name; the first of this list is the outcome's. So
an outcome counts when one metric counts it, and the lines of a report add up to what was accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

import msgspec

from ekiben.experiments.durations import format_duration
from ekiben.experiments.problems import show
from ekiben.experiments.reports.outcomes import LeftOut


class Reason(StrEnum):
    """Why an outcome is not counted. The order is that in which they are looked at."""

    COUNTED = "counted"
    WAITING = "waiting"
    LABEL_REPEATED = "label_repeated"
    UNSCORED = "unscored"
    OTHER_CLASSES = "other_classes"
    LABEL_OF_USER = "label_of_user"
    OF_USER = "of_user"
    NOT_BINARY = "not_binary"
    NO_CLASS = "no_class"
    COVARIATE_AFTER = "covariate_after"
    ARRIVED_LATE = "arrived_late"
    LATE = "late"
    BEFORE_FIRST = "before_first_exposure"
    BEFORE_START = "before_start"
    NO_TIME = "no_time"
    IN_TWO_VARIANTS = "in_two_variants"
    OVERRIDE = "override"
    OTHER_PHASE = "other_phase"
    OTHER_EXPERIMENT = "other_experiment"
    USER_BLANK = "user_blank"
    USER_DECIMAL = "user_decimal"
    UNKNOWN_USER = "unknown_user"
    OTHER_MODEL = "other_model"
    PREDICTION_BLANK = "prediction_blank"
    UNKNOWN_PREDICTION = "unknown_prediction"
    MISSPELLED_NAME = "misspelled_name"
    OTHER_NAME = "other_name"
    UNUSED_NAME = "unused_name"
    VALUE = "value"
    REPEATED_ID = "repeated_id"


ORDER: Final = tuple(Reason)

_CHECK_TIME: Final = (
    "Check the time `at`: it is when the outcome happened, with its zone, such as 2026-11-21T10:00:00Z."
)
WORDS: Final[dict[Reason, tuple[str, str]]] = {
    Reason.WAITING: ("the user's window is not over", "Nothing to do: they count when the window is over."),
    Reason.LABEL_REPEATED: (
        "the prediction had a label before",
        "Send one label for each prediction. The first one counts.",
    ),
    Reason.UNSCORED: (
        "no score of the variant's own version",
        (
            "Nothing to do where live answered instead. Otherwise name the score in the service's output, "
            "or the classes of several scores in the metric."
        ),
    ),
    Reason.OTHER_CLASSES: (
        "of a prediction with more or fewer scores than the metric has classes",
        "List in `classes` of the metric every class that the version has a probability for, in their order.",
    ),
    Reason.LABEL_OF_USER: (
        "a label that names a user",
        "Send the `prediction_id` that the label is about instead of `user_id`.",
    ),
    Reason.OF_USER: (
        "an outcome that names a user, of a metric with `only_where`",
        "Send the `prediction_id` that the outcome came of instead of `user_id`, or take `only_where` away.",
    ),
    Reason.NOT_BINARY: ("neither 0 nor 1", "Send 1 for the positive class and 0 for the other."),
    Reason.NO_CLASS: (
        "not the place of a class",
        "Send the place of the true class in `classes` of the metric: 0 for the first, 1 for the next.",
    ),
    Reason.COVARIATE_AFTER: (
        "a covariate of after the first exposure",
        "Nothing to do: a covariate is what happened before the first exposure.",
    ),
    Reason.ARRIVED_LATE: (
        "happened in the user's window and arrived too late",
        "If they should count, raise `arrives_within` of the metric to the hours that they take to arrive.",
    ),
    Reason.LATE: (
        "later than the user's window",
        "If they should count, raise `window_hours` of the metric, or check the time `at`.",
    ),
    Reason.BEFORE_FIRST: ("before the user's first exposure", _CHECK_TIME),
    Reason.BEFORE_START: ("before the experiment began", _CHECK_TIME),
    Reason.NO_TIME: (
        "a time before the year 2000",
        "Set `at` to when the outcome happened, or leave it out: it is then the time of arrival.",
    ),
    Reason.IN_TWO_VARIANTS: (
        "of a user who was seen in two variants",
        "Find out why users change variant, such as a weight that was changed without a new phase.",
    ),
    Reason.OVERRIDE: (
        "of a user whom an override assigns",
        "Nothing to do: overrides are for tests and never analysed.",
    ),
    Reason.OTHER_PHASE: (
        "of a user of another phase only",
        "Nothing to do: they belong to the report of that phase.",
    ),
    Reason.OTHER_EXPERIMENT: ("of a user of other experiments only", "Nothing to do: they count there."),
    Reason.USER_BLANK: (
        "of an unknown user whose id begins or ends with a blank",
        "Send the `user_id` as it is sent with predictions, without blanks around it.",
    ),
    Reason.USER_DECIMAL: (
        "of an unknown user whose id is a number such as 7.0",
        "Send the `user_id` as it is sent with predictions: 7 and 7.0 are two users.",
    ),
    Reason.UNKNOWN_USER: (
        "of a user whom no experiment has seen",
        "Nothing to do where they do not take part. Else send the `user_id` as with predictions.",
    ),
    Reason.OTHER_MODEL: (
        "of another model's prediction",
        "Nothing to do: they count in that model's experiments.",
    ),
    Reason.PREDICTION_BLANK: (
        "of no known prediction, with a blank around the id",
        "Send the `prediction_id` as the router answered it, without blanks around it.",
    ),
    Reason.UNKNOWN_PREDICTION: (
        "of no prediction within an experiment",
        "Nothing to do where users do not take part. Else send the `prediction_id` of the answer.",
    ),
    Reason.MISSPELLED_NAME: ("a name that no metric uses", "Correct the name where the outcome is sent."),
    Reason.OTHER_NAME: ("a name that only other experiments use", "Nothing to do: they count there."),
    Reason.UNUSED_NAME: (
        "a name that no metric uses",
        "Declare a metric with this `outcome`, or stop sending it.",
    ),
    Reason.VALUE: ("a value that cannot be summed", "Send a number between -1e30 and 1e30."),
    Reason.REPEATED_ID: (
        "an id that was used before",
        "Nothing to do for repetitions after an error. Otherwise give every outcome an `id` of its own.",
    ),
}
"""For each reason what the outcomes are, and what to change."""

OTHER: Final = "This is a fault of Ekiben's: report it, with the experiment's metrics."

MISTAKES: Final = frozenset(
    {
        Reason.OTHER_CLASSES,
        Reason.NOT_BINARY,
        Reason.NO_CLASS,
        Reason.LABEL_OF_USER,
        Reason.OF_USER,
        Reason.BEFORE_FIRST,
        Reason.BEFORE_START,
        Reason.NO_TIME,
        Reason.IN_TWO_VARIANTS,
        Reason.USER_BLANK,
        Reason.USER_DECIMAL,
        Reason.PREDICTION_BLANK,
        Reason.MISSPELLED_NAME,
        Reason.VALUE,
        Reason.REPEATED_ID,
    }
)
"""Reasons that somebody should look at, however few users take part: what the alert counts."""

_NAMES_SHOWN: Final = 10
_ZONE_STEP_S: Final = 1800.0
_ZONE_NEAR_S: Final = 300.0
_ZONE_MOST_S: Final = 14 * 3600.0


class Line(msgspec.Struct, frozen=True):
    """So many outcomes of one name have one reason. `age_s`: half of them arrived more than so many seconds
    after the time that they give. `earlier` of them arrived before the phase started.
    """

    reason: Reason
    count: int
    name: str | None = None
    age_s: float | None = None
    earlier: int = 0


def name_reason(name: str, here: Iterable[str], elsewhere: Iterable[str]) -> Reason:
    """Why outcomes of a name do not count: the names that metrics of this and of other experiments use."""
    if name in elsewhere:
        return Reason.OTHER_NAME
    return Reason.UNUSED_NAME if nearest(name, here) is None else Reason.MISSPELLED_NAME


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was meant, if one is near."""
    names = sorted(known)
    plain = name.strip().casefold()
    same = next((each for each in names if each.strip().casefold() == plain), None)
    return same or next(iter(get_close_matches(name, names, n=1, cutoff=0.75)), None)


def in_lines(lines: Iterable[Line], known: Iterable[str]) -> Iterator[LeftOut]:
    """The report's lines, the largest first; their counts add up to those of `lines` that are not counted."""
    names = sorted(known)
    left = sorted(
        (each for each in lines if each.reason is not Reason.COUNTED),
        key=lambda each: (-each.count, ORDER.index(each.reason), each.name or ""),
    )
    shown: dict[Reason, int] = {}
    rest: dict[Reason, int] = {}
    for line in left:
        shown[line.reason] = shown.get(line.reason, 0) + 1
        if shown[line.reason] > _NAMES_SHOWN:
            rest[line.reason] = rest.get(line.reason, 0) + line.count
        else:
            yield _left_out(line, names)
    for reason, count in rest.items():
        words, advice = WORDS[reason]
        yield LeftOut(f"{words} (other names)", "outcomes", count, str(reason), advice)


def _left_out(line: Line, known: list[str]) -> LeftOut:
    words, advice = WORDS[line.reason]
    if line.name is not None:
        words = f"{line.name if line.name in known else show(line.name)}: {words}"
    if line.reason is Reason.MISSPELLED_NAME and line.name is not None:
        advice = f"Did you mean {show(nearest(line.name, known))}? {advice}"
    if line.reason in (Reason.BEFORE_FIRST, Reason.BEFORE_START) and (hours := _zone(line.age_s)):
        advice = (
            f"Half of them say that they happened {format_duration(hours)} or more before they arrived: "
            f"is `at` local time that is sent as UTC? {advice}"
        )
    return LeftOut(words, "outcomes", line.count, str(line.reason), advice)


def _zone(age_s: float | None) -> float | None:
    """The offset of a time zone, in seconds, that explains `age_s`."""
    if age_s is None or not _ZONE_STEP_S - _ZONE_NEAR_S <= age_s <= _ZONE_MOST_S + _ZONE_NEAR_S:
        return None
    offset = round(age_s / _ZONE_STEP_S) * _ZONE_STEP_S
    return offset if abs(age_s - offset) <= _ZONE_NEAR_S else None
