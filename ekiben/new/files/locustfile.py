"""Load on a model: `make load MODEL=churn`, or `locust -f loadtests/locustfile.py --model churn`.

Rows are made up from what the model says of its features. Where they should look like yours, let `row` return
one of your own. `--host` is the router, http://127.0.0.1:3000 unless it is given.
"""

from __future__ import annotations

import os
import random
from typing import Any

from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopTest

from ekiben.client import Client, ClientError
from ekiben.clients.made_up import NoFeatures, features_of, made_up

KEY = os.environ.get("EKIBEN_API_KEY")
ROUTER = "http://127.0.0.1:3000"
USERS = 10_000
MODEL: dict[str, Any] = {}


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument("--model", required=True, help="the model to ask")


@events.test_start.add_listener
def _meet_the_model(environment: Environment, **_: Any) -> None:
    environment.host = environment.host or ROUTER
    assert environment.parsed_options is not None
    try:
        with Client(environment.host, KEY) as router:
            MODEL.update(features_of(router.get(f"/models/{environment.parsed_options.model}")))
    except (ClientError, NoFeatures) as error:
        environment.process_exit_code = 1
        raise StopTest(str(error)) from None


def row() -> dict[str, Any]:
    """The features of one request."""
    return made_up(MODEL, random)


class User(FastHttpUser):
    """Somebody who asks again and again."""

    host = ROUTER

    @task
    def predict(self) -> None:
        """One prediction."""
        assert self.environment.parsed_options is not None
        model = self.environment.parsed_options.model
        body = {"user_id": f"u-{random.randrange(USERS)}", "features": row()}
        headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
        self.client.post(f"/predict/{model}", json=body, headers=headers, name=f"/predict/{model}")
