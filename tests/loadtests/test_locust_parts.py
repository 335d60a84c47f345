"""The parts of a load test that only compute. None of them imports Locust."""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtests.answers import Assignments, Output, WrongAnswer, read_answer, read_outputs, read_problem
from loadtests.options import APPLICATIONS, add_options, find_mistake
from loadtests.population import Application, BadApplications, Population, profit, read_applications
from loadtests.slo import Figures, Slo, Step, describe_knee, find_knee, render_table

OUTPUTS = {"v1": Output("probability_bad", "decision"), "v2": Output("probability_bad", "decision")}

RIGHT: dict[str, Any] = {
    "prediction": {"probability_bad": 0.25, "decision": "decline"},
    "model": "credit",
    "version": "v1",
    "model_version": "credit_v1:abc",
    "experiment": "credit-boosting",
    "variant": "control",
    "prediction_id": "p-1",
    "request_id": "r-1",
    "cached": False,
}


def read(**changed: Any) -> Any:
    answer = {key: value for key, value in (RIGHT | changed).items() if value is not ...}
    return read_answer(json.dumps(answer).encode(), "credit", "r-1", OUTPUTS)


def test_answers_are_grouped_by_how_they_were_answered() -> None:
    assert read().group == "v1"
    assert read(cached=True).group == "v1 cached"
    assert read(fallback_from="v2").group == "v1 for v2"
    assert read(experiment=None, variant=None).decision == "decline"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"prediction_id": ...}, "schema: no `prediction_id`"),
        ({"extra": 1}, "schema: a field that is not known"),
        ({"version": 1}, "schema: `version` is not a text"),
        ({"model_version": ""}, "schema: `model_version` is not a text"),
        ({"fallback_from": None}, "schema: `fallback_from` is not a text"),
        ({"fallback_from": "v1"}, "schema: `fallback_from` is the version that answered"),
        ({"cached": "no"}, "schema: `cached` is not a boolean"),
        ({"variant": None}, "schema: `experiment` and `variant` are neither two texts nor both null"),
        ({"prediction": {}}, "schema: `prediction` is not an object with something in it"),
        ({"prediction": {"decision": "decline"}}, "schema: no number in `prediction.probability_bad`"),
        ({"prediction": {"probability_bad": True}}, "schema: no number in `prediction.probability_bad`"),
        ({"prediction": {"probability_bad": 0.1}}, "schema: no text in `prediction.decision`"),
        ({"model": "other"}, "the answer of another model"),
        ({"request_id": "r-2"}, "the answer to another request"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_wrong_and_the_complaint_says_in_what(
    changed: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(WrongAnswer) as raised:
        read(**changed)
    assert str(raised.value) == complaint


@pytest.mark.parametrize("body", [None, b"", b"<html>", b"[]"])
def test_a_body_that_is_no_object_is_wrong(body: bytes | None) -> None:
    with pytest.raises(WrongAnswer):
        read_answer(body, "credit", "r-1", OUTPUTS)


def test_a_user_may_be_answered_by_live_for_his_version_and_by_nothing_else() -> None:
    assignments = Assignments()
    assignments.check("u-1", read(version="v2"))
    assignments.check("u-1", read(version="v1", fallback_from="v2"))
    assignments.check("u-2", read(version="v1"))
    with pytest.raises(WrongAnswer, match="the user's version changed from v2 to v1"):
        assignments.check("u-1", read(version="v1"))


def test_a_model_tells_what_its_predictions_hold() -> None:
    output = {"score": "probability_bad", "positive": "bad", "decision": "decision"}
    described = {"versions": {"v1": {"info": {"output": output}}, "v2": {"info": None}}}
    assert read_outputs(described) == {"v1": Output("probability_bad", "decision")}
    with pytest.raises(WrongAnswer):
        read_outputs({"name": "credit"})


def test_a_problem_is_named_by_its_type() -> None:
    problem = json.dumps({"type": "urn:ekiben:problem:overloaded", "request_id": "r-1"}).encode()
    assert read_problem(503, problem) == "status 503: overloaded"
    assert read_problem(500, b"oops") == "status 500, and no problem document"


def figures(times: dict[int, int], failures: int = 0, seconds: float = 10.0) -> Figures:
    return Figures(sum(times.values()), failures, times, seconds)


def test_the_99th_percentile_is_what_99_in_100_requests_stay_within() -> None:
    assert figures({10: 99, 500: 1}).percentile_ms(0.99) == 10
    assert figures({10: 98, 500: 2}).percentile_ms(0.99) == 500
    assert figures({}).percentile_ms(0.99) is None


def test_a_window_holds_only_what_came_after_its_beginning() -> None:
    later = figures({10: 150, 500: 7}, failures=5, seconds=20.0)
    window = later.since(figures({10: 100, 500: 7}, failures=5, seconds=15.0))
    assert (window.requests, window.failures, window.rate) == (50, 0, 10.0)
    assert window.percentile_ms(1.0) == 10


def test_what_is_past_the_slo_is_named_and_what_just_meets_it_holds() -> None:
    slo = Slo(100.0, 0.01)
    assert slo.broken(figures({100: 100}, failures=1)) is None
    assert slo.broken(figures({110: 100})) == "p99 is 110 ms, over 100 ms (--slo-p99-ms)"
    both = slo.broken(figures({110: 100}, failures=2))
    assert both is not None
    assert both.endswith("the error rate is 0.02, over 0.01 (--slo-error-rate)")
    assert slo.broken(figures({})) == "there was no request"


def step(users: int, broken: str | None = None) -> Step:
    return Step(users, figures({20: users}), broken)


def test_the_knee_is_the_last_step_before_the_first_that_breaks_the_slo() -> None:
    steps = [step(10), step(20), step(30, "p99"), step(40)]
    assert find_knee(steps) is steps[1]
    assert describe_knee(steps) == "the knee: 20 users, 2 requests/s, p99 20 ms"
    marked = [line.endswith("knee") for line in render_table(steps).splitlines()[1:]]
    assert marked == [False, True, False, False]


def test_a_knee_that_was_not_reached_is_not_claimed() -> None:
    assert describe_knee([step(10)]).startswith("the knee was not reached")
    assert find_knee([step(10, "p99")]) is None
    assert describe_knee([step(10, "p99")]) == "no knee: no step held the SLO"


def test_every_held_out_application_can_be_sent() -> None:
    applications = read_applications(APPLICATIONS)
    assert len(applications) == 1337
    body = json.loads(Population(applications, 5, 1.0, random.Random(1)).applicant(2).body())
    assert body["user_id"] == "u-2"
    assert body["features"]["amount"] == applications[1].amount


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"features": 1, "status": "good"}', '{"features": {}, "status": ""}']
)
def test_a_bad_application_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "applications.jsonl"
    path.write_text('{"features": {}, "status": "good"}\n' + line)
    with pytest.raises(BadApplications, match="line 2"):
        read_applications(path)


def test_few_users_come_often_and_each_with_his_own_application() -> None:
    applications = [Application(f'{{"row":{row}}}', 1.0, True) for row in range(7)]
    population = Population(applications, 1000, 1.0, random.Random(7))
    drawn = [population.draw() for _ in range(5000)]
    counted = Counter(applicant.user_id for applicant in drawn)
    # By Zipf's law with exponent 1 over 1,000 users the first makes up 1 in 7.49; ±4.5 standard deviations.
    assert 560 < counted["u-1"] < 775
    assert len({(applicant.user_id, applicant.application) for applicant in drawn}) == len(counted)


def test_no_two_users_send_the_same_application() -> None:
    rows = [Application('{"amount":1000,"age":40}', 1000.0, True), Application('{"amount":null}', 0.0, True)]
    population = Population(rows, 1000, 0.5, random.Random(7))
    applications = [population.applicant(rank).application for rank in range(1, 1000, 2)]
    assert len({each.features for each in applications}) == len(applications)
    assert [json.loads(each.features)["amount"] for each in applications[:3]] == [1000, 1000.01, 1000.02]
    assert population.applicant(4).application == rows[1]


def test_a_decision_earns_15_percent_or_loses_60() -> None:
    good, bad = Application("{}", 1000.0, True), Application("{}", 1000.0, False)
    assert [profit(good, "approve"), profit(bad, "approve"), profit(bad, "decline")] == [150.0, -600.0, 0.0]


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser, ["ramp", "steps"])
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    "arguments", [("--slo-error-rate", "2"), ("--think-s", "nan"), ("--steps", "0"), ("--population", "1.5")]
)
def test_a_number_out_of_range_is_refused(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert f"argument {arguments[0]}: must be a " in capsys.readouterr().err


def test_steps_that_leave_nothing_to_measure_are_refused() -> None:
    assert find_mistake(parse("--shape", "steps"), True, 1.0) is None
    short = parse("--shape", "steps", "--step-s", "5", "--settle-s", "5")
    assert "leaves nothing" in str(find_mistake(short, False, 1.0))
    hasty = parse("--shape", "steps", "--settle-s", "1")
    assert find_mistake(hasty, False, 1.0) is None
    assert "at least 2" in str(find_mistake(hasty, True, 1.0))
