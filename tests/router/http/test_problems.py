"""Errors are problem+json, and each has its status: the table of `docs/architecture.md`, row by row."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from router import errors
from router.http.problems import render_problem
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service

ALL = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}


def problem(response: Response, status: int) -> Mapping[str, Any]:
    """The problem of a response, checked."""
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json
    assert {"type", "title", "status", "detail", "request_id"} <= found.keys()
    assert found["status"] == status
    assert found["request_id"] == response.headers["x-request-id"]
    assert all(isinstance(found[key], str) and found[key] for key in ("type", "title", "detail"))
    assert "Traceback" not in response.body.decode()
    return found


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"features",
    "half of it": b'{"features": {',
    "trailing comma": b'{"features": {},}',
    "bad UTF-8": b'{"features": {"a": "\xff"}}',
    "a lone surrogate": b'{"features": {"a": "\\ud800"}}',
    "NaN": b'{"features": {"a": NaN}}',
    "Infinity": b'{"features": {"a": -Infinity}}',
    "1e999": b'{"features": {"a": 1e999}}',
    "5,000 digits": b'{"features": {"a": ' + b"9" * 5000 + b"}}",
    "nesting of 900": b'{"features": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "nesting of 9,000": b'{"features": ' + b'{"a":' * 9_000,
    "an array": b"[]",
    "a text": b'"features"',
    "null": b"null",
    "no features": b'{"user_id": "u"}',
    "features null": b'{"features": null}',
    "features an array": b'{"features": []}',
    "features a text": b'{"features": "{}"}',
    "a user who is a number": b'{"user_id": 1, "features": {}}',
    "a user who is null": b'{"user_id": null, "features": {}}',
    "an empty user": b'{"user_id": "", "features": {}}',
    "a user of 257 characters": b'{"user_id": "' + b"u" * 257 + b'", "features": {}}',
    "an unknown field": b'{"features": {}, "feature": {}}',
    "three fields": b'{"features": {}, "user_id": "u", "x": 1}',
    "attributes null": b'{"features": {}, "attributes": null}',
    "attributes an array": b'{"features": {}, "attributes": []}',
    "nested attributes": b'{"features": {}, "attributes": {"plan": {"name": "pro"}}}',
    "an attribute that is a list": b'{"features": {}, "attributes": {"tags": ["a"]}}',
    "33 attributes": orjson.dumps({"features": {}, "attributes": {f"a{n}": n for n in range(33)}}),
    "an attribute without a name": b'{"features": {}, "attributes": {"": 1}}',
    "a long name of an attribute": orjson.dumps({"features": {}, "attributes": {"a" * 65: 1}}),
    "a long text in an attribute": orjson.dumps({"features": {}, "attributes": {"a": "x" * 257}}),
    "a version null": b'{"features": {}, "version": null}',
    "a version that is a number": b'{"features": {}, "version": 2}',
    "a byte order mark": b'\xef\xbb\xbf{"features": {}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_what_cannot_be_read_is_400(router: Router, v1: Service, body: bytes) -> None:
    problem(await router.client.post("/predict/credit", body), 400)
    assert v1.calls == []


async def test_a_user_of_256_characters_is_fine_and_characters_are_not_bytes(router: Router) -> None:
    assert (await router.client.predict("🍱" * 256, {})).status == 200


async def test_an_empty_or_unreadable_user_in_the_header_is_400(router: Router) -> None:
    for given in (b"", b"u" * 257, b"\xff\xfe", "é".encode("latin-1")):
        response = await router.client.request(
            "POST", "/predict/credit", b'{"features":{}}', {"x-user-id": given}
        )
        problem(response, 400)


async def test_a_header_user_is_checked_also_where_the_body_wins(router: Router) -> None:
    body = b'{"user_id":"u","features":{}}'
    problem(await router.client.request("POST", "/predict/credit", body, {"x-user-id": b""}), 400)


async def test_a_client_that_leaves_in_the_middle_of_its_body_asks_nothing(
    router: Router, v1: Service
) -> None:
    response = await router.client.request("POST", "/predict/credit", [b'{"features"', b": {}}"], leaves=True)
    problem(response, 400)
    assert v1.calls == []


async def test_an_unknown_model_is_404(router: Router) -> None:
    assert "nope" in problem(await router.client.predict("u", {}, model="nope"), 404)["detail"]
    problem(await router.client.get("/models/nope"), 404)


async def test_an_unknown_experiment_is_404(router: Router) -> None:
    problem(await router.client.assignment("u", experiment="nope"), 404)


async def test_an_unknown_page_is_404(router: Router) -> None:
    for path in ("/", "/predict", "/predict/a/b", "/models/", "/models/a/b", "/assignment", "/livez/x"):
        problem(await router.client.get(path), 404)


async def test_a_wrong_method_is_405_and_allow_tells_the_right_ones(router: Router) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"):
        response = await router.client.request(method, "/predict/credit")
        problem(response, 405)
        assert response.headers["allow"] == "POST"
    for path in ("/models", "/models/credit", "/assignment/x", "/livez", "/readyz", "/healthz", "/metrics"):
        response = await router.client.request("POST", path)
        problem(response, 405)
        assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(chunked: bool) -> None:
    async with build_app(credit_document(), ALL, max_body_bytes=2048) as router:
        body = b'{"features": {"a": "' + b"x" * 3000 + b'"}}'
        response = await router.client.request(
            "POST", "/predict/credit", [body[:1000], body[1000:2000], body[2000:]] if chunked else body
        )
        assert "2048" in problem(response, 413)["detail"]


async def test_a_body_over_the_limit_is_refused_before_it_is_read_where_its_length_is_told() -> None:
    async with build_app(credit_document(), ALL, max_body_bytes=2048) as router:
        headers = {"content-length": "2049"}
        response = await router.client.request("POST", "/predict/credit", b"", headers)
        problem(response, 413)


async def test_a_length_that_lies_does_not_lift_the_limit() -> None:
    async with build_app(credit_document(), ALL, max_body_bytes=2048) as router:
        body = b'{"features": {"a": "' + b"x" * 3000 + b'"}}'
        response = await router.client.request("POST", "/predict/credit", body, {"content-length": "10"})
        problem(response, 413)


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with build_app(credit_document(), ALL, max_body_bytes=2048) as router:
        body = b'{"features": {"a": "'
        body += b"x" * (2048 - len(body) - 3) + b'"}}'
        assert (await router.client.post("/predict/credit", body)).status == 200


async def test_features_the_service_refuses_are_422_with_its_errors(router: Router) -> None:
    found = problem(await router.client.predict("u-control", {"refuse": True}), 422)
    assert found["errors"] == [{"loc": ["refuse"], "msg": "not this one"}]


async def test_a_full_queue_is_503_with_retry_after(router: Router, v1: Service) -> None:
    route = router.worker.routes["credit"].versions["v1"]
    route.lane.waiting.max_rows = 0
    response = await router.client.predict("u-control", {"row": 1})
    problem(response, 503)
    assert int(response.headers["retry-after"]) >= 1


async def test_a_full_queue_of_the_treatment_is_answered_by_live(router: Router) -> None:
    router.worker.routes["credit"].versions["v2"].lane.waiting.max_rows = 0
    response = await router.client.predict("u-treatment", {"row": 1})
    assert response.status == 200
    assert response.json["fallback_from"] == "v2"


async def test_without_a_snapshot_there_is_503_with_retry_after() -> None:
    async with build_app(None, ALL, probed=False) as router:
        for response in (
            await router.client.predict("u", {}),
            await router.client.get("/models"),
            await router.client.get("/models/credit"),
            await router.client.assignment("u"),
            await router.client.get("/readyz"),
        ):
            problem(response, 503)
            assert int(response.headers["retry-after"]) >= 1


async def test_a_failed_live_version_is_502(router: Router, v1: Service) -> None:
    v1.die()
    problem(await router.client.predict("u-control", {"row": 1}), 502)


async def test_a_slow_live_version_is_504(v1: Service) -> None:
    async with build_app(credit_document(timeout_ms=100), ALL | {V1: v1}) as router:
        v1.hold()
        problem(await router.client.predict("u-control", {"row": 1}), 504)
        v1.release()


async def test_what_nobody_foresaw_is_500_without_a_traceback(
    router: Router, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise RuntimeError("a secret of the router")

    router.worker.new_id = broken
    with caplog.at_level(logging.CRITICAL):
        response = await router.client.predict("u-control", {"row": 1}, X_Request_ID="mine")
    problem(response, 500)
    assert b"secret" not in response.body


async def test_every_problem_is_counted_by_its_status(router: Router) -> None:
    await router.client.get("/nope")
    await router.client.post("/predict/credit", b"")
    await router.client.predict("u-control", {"refuse": True})
    for status in ("404", "400", "422"):
        assert router.counted("ekiben_problems_total", status=status) == 1


def _subclasses(kind: type[errors.RouterError]) -> set[type[errors.RouterError]]:
    return {each for child in kind.__subclasses__() for each in (child, *_subclasses(child))}


@pytest.mark.parametrize(
    "kind", sorted(_subclasses(errors.RouterError), key=lambda each: each.__name__), ids=lambda k: k.__name__
)
def test_every_error_has_a_row_in_the_table_of_problems(kind: type[errors.RouterError]) -> None:
    needs_list = kind in (errors.RowRefused, errors.OutcomesRefused)
    status, headers, body = render_problem(kind([] if needs_list else "why"), "id")  # type: ignore[arg-type]
    assert 400 <= status <= 599
    assert (b"content-type", b"application/problem+json") in headers
    assert body
    assert inspect.getdoc(kind)


@pytest.mark.parametrize("path", ["/predict/credit/", "/outcomes/", "/models/", "/models/credit/", "/livez/"])
async def test_a_slash_too_many_is_told(router: Router, path: str) -> None:
    assert "leave out the slash" in problem(await router.client.get(path), 404)["detail"]
