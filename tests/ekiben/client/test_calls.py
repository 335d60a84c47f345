"""What the clients send, what they make of answers and when they try again, without a socket."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import numpy as np
import orjson
import pytest

from ekiben.client import AsyncClient, Client, ClientError, NoAnswer, Outcome, Refused, Unavailable
from ekiben.client.calls import Tries, ask_prediction, send_outcomes
from ekiben.client.errors import Problem, problem_of


def test_a_prediction_is_asked_for_with_what_was_given_and_no_more() -> None:
    bare = ask_prediction("credit", None, {"age": 31}, None, False, None, None)
    assert (bare.method, bare.path, bare.headers) == ("POST", "/predict/credit", {})
    assert orjson.loads(bare.body or b"") == {"features": {"age": 31}}
    full = ask_prediction("a/b c", "ü", {}, {"country": "AT"}, True, "v2", {"traceparent": "00-…"})
    assert full.path == "/predict/a%2Fb%20c"
    assert full.headers == {"Cache-Control": "no-cache", "traceparent": "00-…"}
    assert orjson.loads(full.body or b"") == {
        "features": {},
        "user_id": "ü",
        "attributes": {"country": "AT"},
        "version": "v2",
    }


def test_numbers_of_numpy_are_numbers_and_nan_is_null() -> None:
    features = MappingProxyType({"age": np.int64(31), "income": np.float32(0.5), "debt": float("nan")})
    asked = ask_prediction("credit", None, features, None, False, None, None)
    assert orjson.loads(asked.body or b"") == {"features": {"age": 31, "income": 0.5, "debt": None}}


def test_the_outcomes_of_a_request_keep_their_ids_however_often_it_is_sent() -> None:
    outcome = Outcome(name="profit", value=np.float64(2.5), user_id="u-1")
    sent = send_outcomes([outcome])
    assert sent == send_outcomes([outcome])
    assert orjson.loads(sent.body or b"") == {
        "outcomes": [{"name": "profit", "value": 2.5, "user_id": "u-1", "id": outcome.id}]
    }


def pauses(tries: Tries, error: ClientError, now: float) -> list[float]:
    """The pauses until there is no time left."""
    found: list[float] = []
    try:
        while True:
            found.append(tries.pause(error, now))
            now += found[-1]
    except type(error):
        return found


def test_the_longest_pause_doubles_up_to_ten_seconds_and_the_last_try_is_at_the_end() -> None:
    found = pauses(Tries(40.0, lambda: 1.0), NoAnswer(), 0.0)
    assert found[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0])
    assert (sum(found), max(found)) == (pytest.approx(40.0), 10.0)


def test_chance_is_a_part_of_the_longest_pause_and_no_patience_is_no_second_try() -> None:
    assert Tries(40.0, lambda: 0.5).pause(NoAnswer(), 0.0) == pytest.approx(0.1)
    with pytest.raises(NoAnswer):
        Tries(5.0).pause(NoAnswer(), 5.0)


def test_an_answer_that_says_when_to_come_again_is_not_asked_before() -> None:
    busy = Unavailable(503, retry_after="3")
    assert Tries(40.0, lambda: 0.5).pause(busy, 0.0) == pytest.approx(3.1)
    assert Tries(3.01, lambda: 0.5).pause(busy, 0.0) == pytest.approx(3.01)
    with pytest.raises(Unavailable):
        Tries(3.0, lambda: 0.5).pause(busy, 0.0)
    assert Unavailable(503, retry_after="Fri, 27 Nov 2026 10:00:00 GMT").retry_after_s == 0.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "Refused"), (401, "Unauthorized"), (403, "Unauthorized"), (404, "Refused"), (408, "Refused"),
        (413, "Refused"), (422, "FeaturesRefused"), (429, "Unavailable"), (500, "Unavailable"),
        (502, "Unavailable"), (503, "Unavailable"), (504, "Unavailable"),
    ],
)  # fmt: skip
def test_each_status_is_an_error_of_a_kind(status: int, kind: str) -> None:
    error = problem_of(status, b'{"title": "T", "detail": "D", "status": 1}', "")
    assert type(error).__name__ == kind
    assert (error.status, error.title, error.detail, str(error)) == (status, "T", "D", f"{status}: D")
    assert isinstance(error, Problem)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b"\xff", b'{"errors": 1}', b'{"errors": [{"loc": 1}]}']
)
def test_a_body_that_is_no_problem_leaves_the_status(body: bytes) -> None:
    error = problem_of(404, body, "")
    assert (type(error), str(error), error.errors) == (Refused, "the router answered 404", ())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "router:3000"}, "must be like http://HOST:PORT"),
        ({"url": "ftp://router"}, "must be like http://HOST:PORT"),
        ({"url": "http://"}, "must be like http://HOST:PORT"),
        ({"url": "http://router:99999"}, "[Pp]ort"),
        ({"key": "one\nline"}, "no HTTP header"),
        ({"timeout": 0}, "timeout must be more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout must be more than 0 seconds"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_cannot_work_is_refused_when_the_client_is_made(
    kind: type[Client] | type[AsyncClient], given: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        kind(**({"url": "http://router"} | given))  # type: ignore[arg-type]


def test_each_client_loads_its_own_library_and_a_missing_one_is_one_line() -> None:
    async_only = "import sys; sys.modules['urllib3'] = None; from ekiben.client import AsyncClient, Outcome"
    subprocess.run([sys.executable, "-c", async_only], check=True)
    threads_only = "import sys; sys.modules['aiohttp'] = None; from ekiben.client import Client"
    subprocess.run([sys.executable, "-c", threads_only], check=True)
    missing = "import sys; sys.modules['urllib3'] = None; from ekiben.client import Client"
    done = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: ekiben.client.Client needs urllib3: install it with pip install 'ekiben[client]'"
    )
