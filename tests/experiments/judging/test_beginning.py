"""A ramp that waits for its shadow: nobody takes part before labels say that it is not worse."""

from __future__ import annotations

import pytest

from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document
from ekiben.experiments.judging.paired import otherwise_words, paired_words, unseen_words
from ekiben.experiments.judging.ramp import RampKind, next_action
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.paired import DecidedOtherwise, PairedMeasure, PairedQuality
from ekiben.experiments.reports.shadow import ShadowReport
from tests.experiments.documents import credit
from tests.experiments.reports import NONE, report

RAMP = {"steps": [2, 100], "begin": "when_shadow_is_not_worse", "min_users_per_step": 300}
TRUTH = {"name": "good", "outcome": "repaid", "kind": "label"}


def waiting(
    metrics: tuple[dict[str, object], ...] = (TRUTH,),
    shadow: tuple[tuple[str, int], ...] = (("v2", 10),),
    **fields: object,
) -> Document:
    data = credit(**{"coverage": 0, "metrics": list(metrics), "ramp": RAMP} | fields)
    data["models"]["credit"]["shadow"] = dict(shadow)
    return parse_document(data)


def quality(state: State = State.UNCLEAR, users: int = 3104) -> PairedQuality:
    area = PairedMeasure("roc_auc", 0.763, 0.819, 0.056, Interval(0.031, 0.081), 1e-5)
    return PairedQuality("repaid", "roc_auc", "higher", users, users + 20, 900, 0.05, state, (area,))


def shadowed(*paired: PairedQuality, version: str = "v2", **fields: object) -> ShadowReport:
    return ShadowReport(
        model="credit", version=version, against="v1", compared=9, agreement=0.9, agreement_interval=NONE,
        mean_difference=0.0, mean_absolute_difference=0.1, difference=(), ks_distance=None, latency_ms={},
        against_latency_ms={}, paired=paired, **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shadows", "words"),
    [
        ((), "no answer of v2 as a shadow has been compared with v1 yet"),
        ((shadowed(quality(), version="v3"),), "no answer of v2 as a shadow"),
        ((shadowed(),), "0 of 300 users have a prediction with a label for repaid"),
        ((shadowed(quality(users=299)),), "299 of 300 users"),
        ((shadowed(quality(State.NO_DATA)),), "3,104 of 300 users"),
        ((shadowed(quality(State.WORSE)),), "v2 would have been worse than v1 on the same 3,124 labelled"),
    ],
)
def test_the_first_step_waits_for_labels_of_the_shadow(shadows: tuple[ShadowReport, ...], words: str) -> None:
    experiment = waiting().experiments["credit-net"]
    action = next_action(experiment, report(), 20_000.0, shadows)
    assert (action.kind, action.reason, action.coverage) == (RampKind.WAIT, "waits_for_shadow", 0)
    assert words in action.sentence


@pytest.mark.parametrize("state", [State.UNCLEAR, State.BETTER])
def test_a_shadow_that_is_not_worse_begins_the_ramp(state: State) -> None:
    experiment = waiting().experiments["credit-net"]
    action = next_action(experiment, report(), 20_000.0, [shadowed(quality(state))])
    assert (action.kind, action.reason, action.coverage) == (RampKind.RAISE, "first_step", 2)


def test_a_ramp_that_has_begun_waits_for_no_shadow() -> None:
    experiment = waiting(coverage=2).experiments["credit-net"]
    assert next_action(experiment, report(), 20_000.0).reason != "waits_for_shadow"


def test_an_experiment_that_waits_for_its_shadow_starts_with_nobody() -> None:
    started = act("start", waiting(status="draft", coverage=100), "credit-net")
    assert started.experiments["credit-net"].coverage == 0
    at_once = waiting(status="draft", coverage=100, ramp=RAMP | {"begin": "at_once"})
    assert act("start", at_once, "credit-net").experiments["credit-net"].coverage == 2


def test_a_shadow_that_can_never_be_compared_is_refused() -> None:
    with pytest.raises(DocumentError, match="needs a metric of kind label"):
        waiting(metrics=({"name": "profit", "outcome": "profit", "kind": "mean"},))
    with pytest.raises(DocumentError, match=r"waits for the shadow of v2, and credit has none"):
        waiting(shadow=())
    waiting(shadow=(), coverage=2)  # it has begun
    draft = waiting(shadow=(), status="draft")
    with pytest.raises(DocumentError, match="waits for the shadow"):
        act("start", draft, "credit-net")


def test_what_labels_say_of_a_shadow_names_both_versions_and_what_they_cannot_say() -> None:
    found = shadowed(quality(State.BETTER))
    assert paired_words(found, found.paired[0]) == (
        "v2 would have been better than v1 on the same 3,124 labelled predictions of 3,104 users: ROC AUC "
        "for repaid of 0.819 in place of 0.763 (difference between 0.031 and 0.081)."
    )
    assert "what only it would accept is not known" in unseen_words(found)


def test_what_changing_would_cost_is_said_in_the_outcomes_unit_and_gains_are_not_made_up() -> None:
    lost = DecidedOtherwise("decline", "profit", 1234, 1100, 3.25, Interval(2.1, 4.4))
    gained = DecidedOtherwise("approve", "profit", 900, 0, None, NONE)
    found = shadowed(otherwise=(lost, gained))
    first, second = (otherwise_words(found, line) for line in found.otherwise)
    assert first.startswith("In 1,234 predictions v2 would decide decline and v1 did not. 1,100 of them have")
    assert "of 3.25 each on average, between 2.1 and 4.4" in first
    assert second.endswith("None has an outcome for profit, so what that would bring is not known.")
