"""Which outcomes count, for whom, and from when on."""

from __future__ import annotations

from ekiben.control.analysis.newer import newest_outcomes
from tests.control.analysis.events import DAY, HOUR, KEY, START, Log, in_variant, left_out, metric, stored


def test_an_outcome_counts_from_the_first_exposure_to_just_before_the_windows_end(log: Log) -> None:
    log.exposure("u1", at=100)
    for at, value in ((99.5, 1), (100, 2), (100 + DAY - 0.5, 4), (100 + DAY, 8)):
        log.outcome(value, at=at, user="u1")
    report = log.report(stored(metric()))
    assert in_variant(report).mean == 6
    assert left_out(report, "outcomes") == {"late": 1, "before_start": 1}


def test_a_user_counts_once_the_window_has_closed_and_not_before(log: Log) -> None:
    log.exposure("u1", at=0)
    log.exposure("u2", at=HOUR)
    log.outcome(5, at=1, user="u1")
    log.outcome(7, at=HOUR + 1, user="u2")
    held = stored(metric())
    assert in_variant(log.report(held, now=DAY - 1)).users == 0
    early = log.report(held, now=DAY)
    assert (in_variant(early).users, in_variant(early).mean) == (1, 5)
    assert left_out(early) == {"profit: the user's window of 24 h is not over": 1}
    assert left_out(early, "outcomes") == {"waiting": 1}
    assert in_variant(log.report(held, now=DAY + HOUR)).mean == 6


def test_outcomes_join_by_the_prediction_and_by_the_user(log: Log) -> None:
    prediction = log.exposure("u1")
    log.exposure("u2")
    log.outcome(4, prediction=prediction)
    log.outcome(2, user="u2")
    assert in_variant(log.report(stored(metric()))).mean == 3


def test_an_outcome_of_an_earlier_phases_prediction_is_the_users(log: Log) -> None:
    prediction = log.exposure("u1", "treatment", at=0)
    log.exposure("u1", "control", at=DAY, phase=2)
    log.outcome(9, at=DAY + 1, prediction=prediction)
    assert in_variant(log.report(stored(metric(), phase=2))).mean == 9


def test_of_outcomes_with_one_id_the_first_received_counts(log: Log) -> None:
    log.exposure("u1")
    log.outcome(100, user="u1", event_id="same", received_at=9.0)
    log.outcome(1, user="u1", event_id="same", received_at=5.0)
    log.write()
    log.outcome(50, user="u1", event_id="same", received_at=7.0)
    assert in_variant(log.report(stored(metric()))).mean == 1


def test_an_id_that_another_metric_took_first_is_taken(log: Log) -> None:
    log.exposure("u1")
    log.outcome(100, user="u1", event_id="same", received_at=9.0)
    log.outcome(1, user="u1", event_id="same", received_at=5.0, name="elsewhere")
    assert in_variant(log.report(stored(metric()))).mean == 0


def test_an_exposure_in_two_overlapping_files_counts_once(log: Log) -> None:
    for first, last in ((1000, 3000), (2000, 4000)):
        log.exposure("u1", event_id="e1", prediction_id="e1", received_at=2.5)
        log.write(first, last)
    log.exposure("u1", event_id="e2", prediction_id="e2")
    log.write(5000, 6000)
    assert log.report(stored()).variants[0].requests == 2


def test_outcomes_of_predictions_that_nobody_knows_are_counted_apart(log: Log) -> None:
    log.exposure("u1")
    log.outcome(1, prediction="never-served")
    log.outcome(1, prediction=log.exposure("u2", model="another", experiment="another"))
    report = log.report(stored(metric()))
    assert left_out(report, "outcomes") == {"unknown_prediction": 1, "other_model": 1}


def test_an_outcome_of_a_prediction_counts_though_its_clock_says_that_it_came_before(log: Log) -> None:
    prediction = log.exposure("u1", at=0.7)
    log.outcome(5, at=0.0, prediction=prediction)
    assert in_variant(log.report(stored(metric()))).mean == 5


def test_a_value_whose_squares_leave_floating_point_does_not_end_the_report(log: Log) -> None:
    log.exposure("u1")
    log.exposure("u2")
    log.outcome(1e200, user="u1")
    log.outcome(4, user="u2")
    assert in_variant(log.report(stored(metric()))).mean == 2


def test_an_outcome_of_somebody_outside_the_experiment_adds_to_nothing(log: Log) -> None:
    log.exposure("u1")
    log.outcome(1, user="stranger")
    assert in_variant(log.report(stored(metric()))).mean == 0


def test_newer_outcomes_are_of_the_experiments_that_their_users_and_predictions_were_in(log: Log) -> None:
    prediction = log.exposure("u1")
    log.exposure("u2", experiment="another")
    log.exposure("u2", experiment="another")
    log.outcome(1, prediction=prediction, received_at=START + 5)
    log.outcome(1, user="u1", received_at=START + 7)
    log.outcome(1, user="u2", received_at=START + 3)
    log.outcome(1, user="stranger", received_at=START + 9)
    with log.tables() as tables:
        assert newest_outcomes(tables, [KEY, "another"], START) == {KEY: START + 7, "another": START + 3}
        assert newest_outcomes(tables, [KEY, "another"], START + 4) == {KEY: START + 7}
        assert newest_outcomes(tables, [KEY], START + 8) == {}


def test_a_mean_is_the_sum_of_a_users_outcomes_and_0_without_one(log: Log) -> None:
    for user in ("u1", "u2", "u3"):
        log.exposure(user)
    log.outcome(4, user="u1")
    log.outcome(2, user="u1")
    log.outcome(3, user="u2")
    log.outcome(99, user="u2", name="other")
    found = in_variant(log.report(stored(metric())))
    assert (found.users, found.mean) == (3, 3)


def test_a_proportion_is_of_users_with_an_outcome_other_than_0(log: Log) -> None:
    for user in ("u1", "u2", "u3", "u4"):
        log.exposure(user)
    log.outcome(0, user="u1")
    log.outcome(-3, user="u2")
    log.outcome(1, user="u3")
    log.outcome(1, user="u3")
    assert in_variant(log.report(stored(metric(kind="proportion")))).mean == 0.5


def test_a_ratio_is_of_all_users_sums(log: Log) -> None:
    for user in ("u1", "u2", "u3"):
        log.exposure(user)
    log.outcome(6, user="u1")
    log.outcome(2, user="u1", name="orders")
    log.outcome(3, user="u2")
    log.outcome(4, user="u2", name="orders")
    found = in_variant(log.report(stored(metric(kind="ratio", denominator="orders"))))
    assert (found.users, found.mean) == (3, 1.5)


def test_windows_are_each_metrics_own(log: Log) -> None:
    log.exposure("u1", at=0)
    log.outcome(5, at=30 * HOUR, user="u1")
    report = log.report(stored(metric(), metric("longer", outcome="profit", window_hours=48)), now=40 * HOUR)
    assert (in_variant(report).users, in_variant(report).mean) == (1, 0)
    assert in_variant(report, "longer").users == 0
