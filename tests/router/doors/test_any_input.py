"""Hypothesis over the envelope: no input gives a 500, and nobody gets an answer that is not his."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.doors.envelope import parse_envelope
from router.errors import BadRequest
from tests.router.client import Client
from tests.router.conftest import build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts | st.floats(allow_nan=False)
trees = st.recursive(
    scalars.filter(lambda each: each not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
features = st.dictionaries(texts, trees, max_size=5)
bodies = (
    st.binary(max_size=200)
    | trees.map(orjson.dumps)
    | st.fixed_dictionaries({}, optional={"user_id": trees, "features": trees, "x": trees}).map(orjson.dumps)
    | st.fixed_dictionaries({"features": features}, optional={"user_id": texts}).map(orjson.dumps)
    | st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=3)).map(
        lambda cut: (lambda body: body[: cut[0]] + cut[1] + body[cut[0] :])(
            b'{"user_id": "u", "features": {"row": [1.5e3, "\\u00e9"]}}'
        )
    )
)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return bool(
        orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    )


def echo(service: Service) -> Service:
    service.answer = lambda row: {"ok": {"echo": row, "score": 0.5, "decision": "yes"}}
    return service


SETTINGS = settings(suppress_health_check=list(HealthCheck))


@SETTINGS
@given(st.lists(bodies, min_size=1, max_size=12), st.lists(features, min_size=1, max_size=12))
def test_whatever_is_sent_in_a_burst_nobody_gets_a_500_or_anothers_answer(
    odd: list[bytes], good: list[dict[str, Any]]
) -> None:
    async def burst() -> None:
        services = {V1: echo(Service("v1")), V2: echo(Service("v2")), V3: echo(Service("v3"))}
        async with build_app(credit_document(), services) as router:
            client: Client = router.client
            asked = [client.predict(f"u-{number}", row) for number, row in enumerate(good)]
            strange = [client.post("/predict/credit", body) for body in odd]
            replies = await asyncio.gather(*asked, *strange)
        for row, reply in zip(good, replies, strict=False):
            assert reply.status == 200
            assert same(reply.json["prediction"]["echo"], row)
        for body, reply in zip(odd, replies[len(good) :], strict=True):
            assert reply.status in (200, 400), body
            if reply.status == 200:
                assert same(reply.json["prediction"]["echo"], orjson.loads(body)["features"])
            else:
                assert reply.headers["content-type"] == "application/problem+json"

    asyncio.run(burst())


@SETTINGS
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_stands_in_a_header_the_envelope_is_read_or_refused(header: bytes) -> None:
    try:
        _, user_id, _, _ = parse_envelope(b'{"features":{}}', header)
    except BadRequest:
        return
    assert user_id is not None
    assert user_id.encode() == header


@SETTINGS
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_stands_in_path_query_and_headers_there_is_no_500(
    path: bytes, query: bytes, header: bytes
) -> None:
    async def ask() -> None:
        services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
        async with build_app(credit_document(), services) as router:
            text = path.decode("utf-8", "replace").replace("%", "%25").replace("?", "%3F")
            for prefix in ("/", "/models/", "/assignment/", "/assignment/credit-boosting/", "/predict/"):
                for method in ("GET", "POST"):
                    response = await router.client.request(
                        method,
                        prefix + text,
                        headers={"x-request-id": header, "cache-control": header, "authorization": header},
                        query=query,
                    )
                    assert response.status in (200, 400, 404, 405), (method, path, query)
            response = await router.client.request(
                "GET", "/assignment/credit-boosting", query=b"user_id=" + query
            )
            assert response.status in (200, 400)

    asyncio.run(ask())


@SETTINGS
@given(features)
def test_canonical_features_are_what_was_sent_and_a_fixed_point(sent: dict[str, Any]) -> None:
    def read(data: bytes) -> bytes:
        return parse_envelope(b'{"features": ' + data + b"}", None)[0]

    canonical = read(orjson.dumps(sent, option=orjson.OPT_INDENT_2))
    assert same(orjson.loads(canonical), sent)
    assert read(canonical) == canonical
