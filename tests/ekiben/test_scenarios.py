"""The demo's second half: its documents, what arrives, and, in `make test-all`, whole scenarios."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ekiben.clients.document import read_document
from ekiben.demo.arrivals import (
    GAIN_OF_GOOD,
    LOSS_OF_BAD,
    Applicant,
    Arrivals,
    outcomes_of,
    read_applicants,
)
from ekiben.demo.scenario import fitted_scenario, scenario_file
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.three_way import apply_text
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document, RampBegin
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.parsing import parse_document
from ekiben.state.documents.document import dump_document
from services.credit import schema
from tests.ekiben.running import ROOT, ekiben, environment, on_free_ports
from tests.waiting import until

NAMES = ["ramp", "no-difference", "bad-version", "biased-labels"]
HELD_OUT = ROOT / "training/data/held_out.jsonl"


def test_a_loan_earns_in_the_demo_what_it_earns_in_the_example() -> None:
    assert (GAIN_OF_GOOD, LOSS_OF_BAD) == (schema.GAIN_OF_GOOD, schema.LOSS_OF_BAD)


def ours() -> Document:
    return read_document(ROOT / "experiments.yaml").document


def fitted(name: str, here: Document) -> tuple[Document, str]:
    found = fitted_scenario(scenario_file(name), here)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_may_follow_the_experiments_file(name: str) -> None:
    scenario, key = fitted(name, ours())
    check_change(ours(), parse_document(dump_document(scenario)))
    running = scenario.experiments[key]
    assert running.status is Status.RUNNING
    assert running.ramp is not None
    assert running.deciding_metric is not None
    waits = running.ramp.begin is not RampBegin.AT_ONCE
    assert running.coverage == (0 if waits else running.ramp.steps[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_leaves_what_the_file_says_as_it_is(name: str) -> None:
    here = ours()
    scenario, key = fitted(name, here)
    assert {each: its for each, its in scenario.experiments.items() if each != key} == here.experiments
    credit, held = scenario.models["credit"], here.models["credit"]
    assert credit.model_copy(update={"versions": held.versions}) == held
    # … so that the first edit of the file works, also when the demo has promoted.
    promoted = act("promote", parse_document(dump_document(scenario)), key)
    data = dump_document(here)
    data["experiments"]["credit-boosting"]["coverage"] = 10
    edited = apply_text(here, parse_document(data), promoted)
    check_change(promoted, edited)
    assert edited.experiments["credit-boosting"].coverage == 10


def test_a_scenario_that_is_played_again_gets_a_name_of_its_own_and_the_one_before_makes_way() -> None:
    once, first = fitted("ramp", ours())
    again, second = fitted("ramp", once)
    assert first != second
    assert again.experiments[first].status is Status.ROLLED_BACK
    check_change(once, parse_document(dump_document(again)))


def test_a_scenario_keeps_the_endpoints_and_the_other_models_that_are_here() -> None:
    here = ours()
    credit = here.models["credit"]
    v1 = credit.versions["v1"].model_copy(update={"endpoints": ("http://127.0.0.1:4711",)})
    moved = credit.model_copy(update={"versions": {**credit.versions, "v1": v1}})
    here = here.model_copy(update={"models": {"credit": moved, "other": credit}})
    scenario, key = fitted("bad-version", here)
    played = scenario.models[scenario.experiments[key].model]
    assert played.versions["v1"].endpoints == ("http://127.0.0.1:4711",)
    # It is started as a service of credit, and routed under the demo's name only.
    assert "shuffled" in scenario.models["credit"].versions
    assert "shuffled" in played.versions
    assert scenario.models["other"] == credit


def test_there_is_no_scenario_where_credit_is_not_served() -> None:
    here = ours()
    other = here.model_copy(update={"models": {"other": here.models["credit"]}})
    assert fitted_scenario(scenario_file("ramp"), other) is None


@pytest.mark.parametrize(
    ("decision", "bad", "profit"),
    [("approve", False, 150.0), ("approve", True, -600.0), ("decline", False, 0.0), ("decline", True, 0.0)],
)
def test_profit_is_what_the_decision_and_the_label_make_of_the_amount(
    decision: str, bad: bool, profit: float
) -> None:
    items = outcomes_of(Applicant({"amount": 1000}, bad), decision, "p-1")
    values = {item.name: item.value for item in items}
    assert values["profit"] == profit
    assert values["bad"] == bad
    assert values["approved"] == (decision == "approve")
    assert {item.prediction_id for item in items} == {"p-1"}
    assert len({item.id for item in items}) == len(items)


class Router:
    """Answers predictions and takes outcomes, every second time with 503."""

    def __init__(self) -> None:
        self.predictions, self.outcomes = predictions, outcomes = list[Any](), list[Any]()
        self.decide: Callable[[], str] = lambda: "approve"
        router = self
        turns = iter([503, 202] * 1000)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = 200, dict[str, Any]()
                if self.path == "/predict/credit":
                    predictions.append(body)
                    answer = {
                        "prediction": {"probability_bad": 0.1, "decision": router.decide()},
                        "model": "credit",
                        "version": "v1",
                        "model_version": "credit_v1:1",
                        "experiment": None,
                        "variant": None,
                        "cached": False,
                        "prediction_id": f"p-{len(predictions)}",
                        "request_id": "r",
                    }
                elif (status := next(turns)) == 202:
                    outcomes.extend(body["outcomes"])
                    answer = {"accepted": len(body["outcomes"])}
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


async def test_labels_of_approved_loans_only_are_what_a_lender_has() -> None:
    router = Router()
    approves = iter([True, False] * 1000)
    router.decide = lambda: "approve" if next(approves) else "decline"
    arrivals = Arrivals(
        f"http://127.0.0.1:{router.server.server_port}",
        "credit",
        read_applicants(HELD_OUT)[:5],
        per_s=200,
        labels_of_approved=True,
    )
    sending = asyncio.create_task(arrivals.run())
    await until(lambda: len(router.outcomes) >= 200)
    sending.cancel()
    await asyncio.wait([sending])
    router.server.shutdown()
    router.server.server_close()
    approved = {
        item["prediction_id"]: item["value"] for item in router.outcomes if item["name"] == "approved"
    }
    labelled = {item["prediction_id"] for item in router.outcomes if item["name"] == "bad"}
    assert labelled == {prediction for prediction, value in approved.items() if value}
    assert 0 < len(labelled) < len(approved)


async def test_every_applicant_is_a_new_user_and_brings_its_outcomes_even_if_they_are_refused_at_first() -> (
    None
):
    router = Router()
    arrivals = Arrivals(
        f"http://127.0.0.1:{router.server.server_port}", "credit", read_applicants(HELD_OUT)[:5], per_s=200
    )
    sending = asyncio.create_task(arrivals.run())
    await until(lambda: len(router.outcomes) >= 200)
    sending.cancel()
    await asyncio.wait([sending])
    router.server.shutdown()
    router.server.server_close()
    users = [each["user_id"] for each in router.predictions]
    assert len(set(users)) == len(users)
    ids = [each["id"] for each in router.outcomes]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(
    not os.environ.get("EKIBEN_TEST_ALL"), reason="two minutes each: make test-all, or EKIBEN_TEST_ALL=1"
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ramp", "promoted"),
        ("bad-version", "rolled_back"),
        ("no-difference", "Stop: there is no difference"),
        ("biased-labels", "its labels cannot decide"),
    ],
)
def test_a_scenario_ends_as_its_data_say(tmp_path: Path, name: str, said: str) -> None:
    text = (ROOT / "experiments.yaml").read_text()
    (tmp_path / "experiments.yaml").write_text(on_free_ports(text))
    env = environment(tmp_path / "data", tmp_path / "experiments.yaml")
    done = ekiben(["up", "--once", "--scenario", name], env, timeout_s=400)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
