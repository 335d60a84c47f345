"""Locust's entry: clients who send applications to the router and check every answer. See README.md."""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import random
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import locust.runners
import locust.stats
from gevent import get_hub  # type: ignore[import-untyped]
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import MasterRunner, WorkerRunner

# Locust puts this file's own folder on the path; the modules beside it are loadtests.….
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from loadtests import shapes
from loadtests.answers import (
    Answer,
    Assignments,
    Output,
    WrongAnswer,
    read_answer,
    read_outputs,
    read_problem,
)
from loadtests.options import APPLICATIONS, add_options, find_mistake
from loadtests.population import Applicant, BadApplications, Population, profit, read_applications
from loadtests.verdict import Verdict

log = logging.getLogger(__name__)

# Steps are judged on the master by what the workers report: Locust's own 3 s would make every step longer.
locust.runners.WORKER_REPORT_INTERVAL = 1.0
locust.stats.CONSOLE_STATS_INTERVAL_SEC = 10
# A run that cannot begin is one line, not gevent's traceback.
get_hub().NOT_ERROR = (*get_hub().NOT_ERROR, StopTest)

VERDICT = Verdict()


class Traffic:
    """What the clients of one process share."""

    def __init__(self, options: argparse.Namespace, process: int, outputs: dict[str, Output]) -> None:
        # By process: forked from one parent, all would draw the same users at the same time.
        self.chance = random.Random(f"{options.seed}/{process}")  # noqa: S311 - nothing secret is drawn
        # Options come from the master, where the default file may lie in another place.
        path = Path(options.applications or APPLICATIONS)
        self.population = Population(read_applications(path), options.population, options.zipf, self.chance)
        self.assignments = Assignments()
        self.outputs = outputs


class Client(FastHttpUser):
    """One client connection: again and again an applicant is drawn, asked for, and thought about."""

    host = os.environ.get("ROUTER_URL") or "http://127.0.0.1:3000"
    traffic: ClassVar[Traffic]

    def __init__(self, environment: Environment) -> None:
        options = environment.parsed_options
        assert options is not None
        self.network_timeout = self.connection_timeout = options.timeout_s
        super().__init__(environment)
        self.options = options
        self.path = f"/predict/{options.model}"

    def wait_time(self) -> float:
        """An exponential think time, in seconds."""
        mean_s = self.options.think_s
        return self.traffic.chance.expovariate(1.0 / mean_s) if mean_s > 0 else 0.0

    @task
    def apply(self) -> None:
        """A prediction, and for a share of them the outcome."""
        applicant = self.traffic.population.draw()
        answer = self.predict(applicant)
        if answer is None or answer.decision is None:
            return
        if self.traffic.chance.random() < self.options.outcomes_share:
            self.report(applicant, answer.prediction_id, answer.decision)

    def predict(self, applicant: Applicant) -> Answer | None:
        """Ask, check, and count under how it was answered. None when the answer was no good."""
        request_id = f"load-{self.traffic.chance.getrandbits(64):016x}"
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
        with self.client.post(
            self.path,
            data=applicant.body(),
            headers=headers,
            name=f"{self.path} without an answer",
            catch_response=True,
        ) as response:
            if not self._arrived(response, 200):
                return None
            try:
                answer = read_answer(response.content, self.options.model, request_id, self.traffic.outputs)
                response.request_meta["name"] = f"{self.path} {answer.group}"
                self.traffic.assignments.check(applicant.user_id, answer)
            except WrongAnswer as error:
                response.failure(str(error))
                return None
            return answer

    def report(self, applicant: Applicant, prediction_id: str, decision: str) -> None:
        """The outcome: what the decision earned. Its `id` makes a repetition harmless."""
        outcome = {
            "prediction_id": prediction_id,
            "name": "profit",
            "value": profit(applicant.application, decision),
            "id": f"load-{prediction_id}",
        }
        with self.client.post(
            "/outcomes", json={"outcomes": [outcome]}, name="/outcomes", catch_response=True
        ) as response:
            self._arrived(response, 202)

    def _arrived(self, response: Any, expected: int) -> bool:
        """Whether there is an answer with the status that is expected; else it is counted as a failure."""
        if response.status_code == 0:
            # The type only: messages hold addresses and ports, and would be counted one by one.
            response.failure(f"no answer: {type(response.error).__name__}")
        elif response.status_code != expected:
            response.failure(read_problem(response.status_code, response.content))
        return bool(response.status_code == expected)


@events.init_command_line_parser.add_listener
def _add_options(parser: Any, **_kwargs: Any) -> None:
    add_options(parser, list(shapes.SHAPES))


@events.init.add_listener
def _prepare(environment: Environment, runner: Any, **_kwargs: Any) -> None:
    """Put the chosen shape in place, and see that there is something to send."""
    options = environment.parsed_options
    assert options is not None
    environment.host = (environment.host or Client.host).rstrip("/")
    # Nobody's request is cut off at the end: one that hangs would never be counted.
    environment.stop_timeout = max(environment.stop_timeout, options.timeout_s + 1.0)
    if isinstance(runner, WorkerRunner):
        return
    VERDICT.mistake = find_mistake(
        options, isinstance(runner, MasterRunner), locust.runners.WORKER_REPORT_INTERVAL
    )
    if options.shape is not None:
        environment.shape_class = shapes.SHAPES[options.shape](options)
        environment.shape_class.runner = runner


@events.test_start.add_listener
def _start(environment: Environment, **_kwargs: Any) -> None:
    """Meet the router and read the applications, wherever users are going to run."""
    options, runner = environment.parsed_options, environment.runner
    assert options is not None
    if VERDICT.mistake is not None:
        raise StopTest(VERDICT.mistake)
    if isinstance(runner, MasterRunner) and not options.processes:
        return  # on a machine of its own: it may see neither the router nor the file
    on_worker = isinstance(runner, WorkerRunner)
    outputs: dict[str, Output] = {}
    try:
        try:
            outputs = meet_router(environment.host or Client.host, options.model)
        except WrongAnswer as error:
            if not on_worker:
                raise
            log.warning("%s", error)  # its requests will fail and be counted
        Client.traffic = Traffic(options, getattr(runner, "worker_index", 0), outputs)
    except (BadApplications, WrongAnswer) as error:
        if on_worker:
            sys.exit(f"load test: {error}")
        VERDICT.mistake = str(error)
        raise StopTest(VERDICT.mistake) from None


_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


def meet_router(url: str, model: str) -> dict[str, Output]:
    """The output fields of each version of the model. Raises `WrongAnswer` when there is no such model."""
    try:
        address = urlsplit(url)
        connect = _CONNECTIONS[address.scheme]
        host, port = address.hostname or "", address.port
    except (KeyError, ValueError):
        raise WrongAnswer(f"the router's address must look like http://host:port, not {url!r}") from None
    try:
        with closing(connect(host, port, timeout=5.0)) as connection:
            connection.request("GET", f"{address.path.rstrip('/')}/models/{model}")
            response = connection.getresponse()
            status, body = response.status, response.read()
        if status != 200:
            raise WrongAnswer(
                f"the router at {url} refused GET /models/{model}: {read_problem(status, body)}"
            )
        return read_outputs(json.loads(body))
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"no router answers at {url} (set ROUTER_URL): {error}") from None
    except ValueError:
        raise WrongAnswer(f"what answers at {url} is no router") from None


@events.quitting.add_listener
def _judge(environment: Environment, **_kwargs: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0  # the master judges; a worker has done its work
        return
    # Fired in reverse order: the master has gathered its workers' last figures by now.
    VERDICT.judge(environment)


@events.quit.add_listener
def _tell(**_kwargs: Any) -> None:
    # After Locust's own tables, so that it is the last thing to be read.
    VERDICT.tell()
