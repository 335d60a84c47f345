"""An ordinary BentoML service, asked by its dialect, against a server that writes what it pleases."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ekiben.experiments.version import UNVERSIONED, Dialect, Output, Version
from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    RowNotTried,
    RowRefused,
    VersionFailed,
    VersionMalformed,
    VersionUnavailable,
)
from router.http.client import open_session
from router.lanes.answer import Answer, OutputFields
from router.lanes.dialects.table import calls_at_once, output_of, rows_at_once
from tests.router.lanes.peer import open_at, open_peer, response

ROWS = [b'{"text":"good","age":1}', b'{"age":2}']
DOCS = response(orjson.dumps({"info": {"title": "sentiment", "version": "4fd2"}, "paths": {}}))
JSON = b"Content-Type: application/json\r\n"
SCORED = OutputFields("positive", "label")


def dialect(**fields: Any) -> Dialect:
    return Dialect(kind="bentoml", **({"path": "/predict"} | fields))


TEXTS = dialect(argument="texts", feature="text")


def good(*answers: Any) -> bytes:
    return response(orjson.dumps(answers), headers=JSON)


def body_of(request: bytes) -> Any:
    return orjson.loads(request.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (dialect(argument="texts", feature="text"), {"texts": ["good", None]}),
        (dialect(argument="rows", features=("age", "text")), {"rows": [[1, "good"], [2, None]]}),
        (dialect(argument="rows"), {"rows": [{"text": "good", "age": 1}, {"age": 2}]}),
        (dialect(), [{"text": "good", "age": 1}, {"age": 2}]),
        (dialect(feature="age"), [1, 2]),
        (dialect(argument='we"ird', feature="age"), {'we"ird': [1, 2]}),
    ],
)
async def test_rows_become_what_the_api_takes(asked: Dialect, body: Any) -> None:
    async with open_peer(dialect=asked) as peer:
        peer.answers = [DOCS, good(1, 2)]
        await peer.service.bulk(ROWS, 30, OutputFields("."))
        docs, call = peer.requests
    assert docs.startswith(b"GET /docs.json HTTP/1.1\r\n")
    assert call.startswith(b"POST /predict HTTP/1.1\r\n")
    assert body_of(call) == body


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (dialect(rows="single", argument="text", feature="text"), {"text": "good"}),
        (dialect(rows="single"), {"text": "good", "age": 1}),
        (dialect(rows="single", argument="row", features=("age", "text")), {"row": [1, "good"]}),
    ],
)
async def test_an_api_of_one_row_gets_one(asked: Dialect, body: Any) -> None:
    async with open_peer(dialect=asked) as peer:
        peer.answers = [DOCS, response(b"0.5", headers=JSON)]
        (became,) = (await peer.service.bulk(ROWS[:1], 30, OutputFields("."))).rows
        assert body_of(peer.requests[1]) == body
    assert isinstance(became, Answer)
    assert (became.body, became.score) == (b"0.5", 0.5)


@pytest.mark.parametrize(
    ("answer", "output", "score", "decision"),
    [
        ({"label": "yes", "positive": 0.7}, SCORED, 0.7, "yes"),
        ({"label": 1, "positive": 1}, SCORED, 1.0, "1"),
        ({"label": True, "positive": 1}, SCORED, 1.0, "true"),
        (0.7, OutputFields("."), 0.7, None),
        ("yes", OutputFields(None, "."), None, "yes"),
        ([0.3, 0.7], OutputFields("1"), 0.7, None),
        ({"a": {"b.c": 0.7}}, OutputFields("a.0"), None, None),
        ({"a": {"b": [{"c": 0.7}]}}, OutputFields("a.b.0.c"), 0.7, None),
        ({"a.b": 0.7, "a": {"b": 0.1}}, OutputFields("a.b"), 0.7, None),
        ({"any": "thing"}, OutputFields(), None, None),
        ({"label": "yes"}, SCORED, None, None),
        ({"label": None, "positive": 0.7}, SCORED, None, None),
        (None, OutputFields(), None, None),
        ("0.7", OutputFields("."), None, None),
        ([0.3], OutputFields("1"), None, None),
        ([0.3], OutputFields("-1"), None, None),
    ],
)
async def test_what_an_answer_means_is_said_by_its_output(
    answer: Any, output: OutputFields, score: float | None, decision: str | None
) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, good(answer, {"label": "no", "positive": 0.1})]
        became, beside = (await peer.service.bulk(ROWS, 30, output)).rows
    if (score is None and decision is None and output != OutputFields()) or answer is None:
        assert isinstance(became, VersionMalformed)
    else:
        assert isinstance(became, Answer)
        assert (became.score, became.decision) == (score, decision)
        assert orjson.loads(became.body) == answer
    if output is SCORED:
        assert isinstance(beside, Answer), "one bad answer cost its neighbour's"


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        ({"p": [0.1, 0.9]}, (0.1, 0.9)),
        ({"p": {"b": 1, "a": 0.25, "C": 0}}, (0.0, 0.25, 1.0)),
        ({"p": []}, ()),
        ({"p": [0.5] * 32}, (0.5,) * 32),
        ({"p": [0.5] * 33}, None),
    ],
)
async def test_an_answer_may_have_several_scores(answer: Any, scores: tuple[float, ...] | None) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, good(answer)]
        (became,) = (await peer.service.bulk(ROWS[:1], 30, OutputFields(scores="p"))).rows
    assert isinstance(became, Answer)
    assert became.scores == scores


@pytest.mark.parametrize(
    "answer", [{}, {"p": 1}, {"p": ["1"]}, {"p": [True]}, {"p": {"a": None}}, {"p": [[1]]}]
)
async def test_scores_that_are_no_numbers_are_no_answer(answer: Any) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, good(answer)]
        (became,) = (await peer.service.bulk(ROWS[:1], 30, OutputFields(scores="p"))).rows
    assert isinstance(became, VersionMalformed)


async def test_an_api_that_returns_text_answers_with_it() -> None:
    plain = b"Content-Type: text/plain; charset=utf-8\r\n"
    async with open_peer(dialect=dialect(rows="single", argument="text", feature="text")) as peer:
        peer.answers = [DOCS, response("grün".encode(), headers=plain)]
        (became,) = (await peer.service.bulk(ROWS[:1], 30, OutputFields(None, "."))).rows
        assert isinstance(became, Answer)
        assert (became.body, became.decision) == ('"grün"'.encode(), "grün")
        peer.answers = [response(b"\xff", headers=plain)]
        with pytest.raises(VersionMalformed, match="UTF-8"):
            await peer.service.bulk(ROWS[:1], 30, OutputFields(None, "."))


def refusal(*where: list[Any]) -> bytes:
    detail = [{"type": "string_type", "loc": loc, "msg": "not a string", "url": "https://…"} for loc in where]
    return response(orjson.dumps({"error": "1 validation error", "detail": detail}), "400 Bad Request", JSON)


async def test_the_rows_that_a_service_names_are_refused_and_the_others_are_asked_for_again() -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, refusal(["texts", 1])]
        answer = await peer.service.bulk(ROWS, 30, SCORED)
    assert answer.is_usable
    beside, refused = answer.rows
    assert isinstance(beside, RowNotTried)
    assert isinstance(refused, RowRefused)
    assert refused.errors == [{"loc": ["text"], "msg": "not a string"}]


@pytest.mark.parametrize(
    ("asked", "loc", "named"),
    [
        (dialect(argument="rows", features=("age", "text")), ["rows", 0, 1], ["text"]),
        (dialect(argument="rows", features=("age", "text")), ["rows", 0], []),
        (dialect(argument="rows"), ["rows", 0, "age"], ["age"]),
        (dialect(), [0, "age"], ["age"]),
        (dialect(rows="single", argument="text", feature="text"), ["text"], ["text"]),
        (dialect(rows="single"), ["age"], ["age"]),
    ],
)
async def test_a_refusal_names_the_feature(asked: Dialect, loc: list[Any], named: list[Any]) -> None:
    async with open_peer(dialect=asked) as peer:
        peer.answers = [DOCS, refusal(loc)]
        (refused,) = (await peer.service.bulk(ROWS[:1], 30, SCORED)).rows
    assert isinstance(refused, RowRefused)
    assert refused.errors == [{"loc": named, "msg": "not a string"}]


@pytest.mark.parametrize(
    "answer",
    [
        refusal(["texts"]),
        refusal(["texts", 2]),
        refusal(["texts", -1]),
        refusal(["texts", 0], ["texts"]),
        refusal(),
        response(b'{"error":"no"}', "400 Bad Request", JSON),
        response(b"no", "422 Unprocessable"),
        response(b"", "413 Too Large"),
    ],
)
async def test_a_refusal_that_names_no_row_is_the_calls(answer: bytes) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, answer]
        with pytest.raises(BulkRefused):
            await peer.service.bulk(ROWS, 30, SCORED)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b'[{"error":"no bad words"}]', "with status 400: no bad words"),
        (b'{"error":"no\\nbad  words"}', "with status 400: no bad words"),
        (b"{}", "with status 400$"),
        (b"<html>", "with status 400$"),
        (b'{"error":"' + b"a" * 1000 + b'"}', "with status 400: a{200}$"),
    ],
)
async def test_what_a_service_says_of_a_lone_row_is_told(said: bytes, heard: str) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, response(said, "400 Bad Request", JSON)]
        with pytest.raises(BulkRefused, match=heard):
            await peer.service.bulk(ROWS[:1], 30, SCORED)


async def test_what_a_service_says_of_a_call_for_several_rows_is_told_to_none_of_them() -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS, response(b'{"error":"no bad words"}', "400 Bad Request", JSON)]
        with pytest.raises(BulkRefused, match=r"with status 400$"):
            await peer.service.bulk(ROWS, 30, SCORED)


FAILED: dict[str, tuple[bytes | None, type[VersionFailed]]] = {
    "500": (response(b'{"error":"An unexpected error"}', "500 Oops"), BulkFailed),
    "503": (response(b"", "503 Busy"), VersionUnavailable),
    "404": (response(b"Not Found", "404 Not Found"), VersionUnavailable),
    "401": (response(b"", "401 Who"), VersionUnavailable),
    "no JSON": (response(b"garbage"), VersionMalformed),
    "an object": (response(b'{"label":"yes","positive":0.5}'), VersionMalformed),
    "a number": (response(b"1"), VersionMalformed),
    "short by one": (good(1), VersionMalformed),
    "one too many": (good(1, 2, 3), VersionMalformed),
    "NaN": (response(b"[NaN,1]"), VersionMalformed),
    "closed": (None, VersionUnavailable),
    "hangs": (b"HTTP/1.1 200 OK\r\n", DeadlinePassed),
    "an absurd length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[", VersionMalformed),
}


@pytest.mark.parametrize(("answer", "error"), FAILED.values(), ids=FAILED.keys())
async def test_what_is_no_answer_fails_the_call(answer: bytes | None, error: type[VersionFailed]) -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [DOCS]
        await peer.service.info(30)
        peer.answers = [answer]
        with pytest.raises(error) as failed:
            await peer.service.bulk(ROWS, 0.1 if error is DeadlinePassed else 30, OutputFields("."))
        assert type(failed.value) is error


async def tag(docs: bytes, **spec: Any) -> str:
    async with open_peer(**({"dialect": TEXTS} | spec)) as peer:
        peer.answers = [docs, good(1, 2)]
        info = await peer.service.info(30)
        assert (await peer.service.bulk(ROWS, 30, OutputFields("."))).model_version == info.model_version
        assert info.raw["model_version"] == info.model_version
        return info.model_version


def docs_of(title: Any, version: Any = "None", **more: Any) -> bytes:
    return response(orjson.dumps({"info": {"title": title, "version": version}, **more}))


async def test_the_model_version_is_the_services_name_and_a_digest_of_what_it_tells() -> None:
    first = await tag(docs_of("sentiment", "4fd2"))
    assert first.startswith("sentiment:4fd2+")
    assert first == await tag(docs_of("sentiment", "4fd2"))
    assert (await tag(docs_of("sentiment"))).startswith("sentiment+")
    assert (await tag(docs_of("a b\n" + "c" * 500))).startswith("a_b_cc")
    assert len(await tag(docs_of("a" * 500, "b" * 500))) < 250
    others = {
        first,
        await tag(docs_of("sentiment", "0000")),
        await tag(docs_of("sentiment", "4fd2", paths={"/more": {}})),
        await tag(docs_of("sentiment", "4fd2"), dialect=dialect(argument="texts", feature="title")),
        await tag(docs_of("sentiment", "4fd2"), dialect=dialect(path="/other", argument="texts")),
        await tag(docs_of("sentiment", "4fd2"), model_version="mine"),
    }
    assert len(others) == 6, "two of these look the same"
    faster = dialect(argument="texts", feature="text", concurrency=16)
    assert first == await tag(docs_of("sentiment", "4fd2"), dialect=faster)


NO_DOCS = {
    "404": response(b"", "404 None"),
    "401": response(b"", "401 Who"),
    "a page": response(b"<html>"),
    "deep": response(b"[" * 300 + b"]" * 300),
}


@pytest.mark.parametrize("docs", NO_DOCS.values(), ids=NO_DOCS.keys())
async def test_a_service_that_tells_nothing_has_the_version_of_the_document_or_none(docs: bytes) -> None:
    assert await tag(docs) == UNVERSIONED
    assert (await tag(docs, model_version="sentiment:4fd2")).startswith("sentiment:4fd2+")


@pytest.mark.parametrize("docs", [response(b"[]"), response(b'{"info":[]}'), docs_of(1), docs_of("")])
async def test_docs_without_a_name_are_a_digest(docs: bytes) -> None:
    assert (await tag(docs)).startswith("bentoml+")


async def test_a_service_that_cannot_tell_what_it_is_now_is_unavailable_and_asked_again() -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [response(b"", "503 Busy"), DOCS, good(1, 2)]
        with pytest.raises(VersionUnavailable, match=r"docs\.json"):
            await peer.service.bulk(ROWS, 30, OutputFields("."))
        assert (await peer.service.bulk(ROWS, 30, OutputFields("."))).model_version.startswith(
            "sentiment:4fd2+"
        )


async def test_finding_out_what_it_is_takes_from_the_time_of_the_call() -> None:
    async with open_peer(dialect=TEXTS) as peer:
        peer.answers = [b"HTTP/1.1 200 OK\r\n"]
        with pytest.raises(DeadlinePassed):
            await peer.service.bulk(ROWS, 0.05, OutputFields("."))


async def test_secrets_go_out_as_headers_and_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_TOKEN", "Bearer 1")
    async with open_peer(dialect=TEXTS, headers={"Authorization": "env:SENTIMENT_TOKEN"}) as peer:
        peer.answers = [DOCS, good(1, 2)]
        await peer.service.bulk(ROWS, 30, OutputFields("."))
        monkeypatch.setenv("SENTIMENT_TOKEN", "Bearer 2")
        await peer.service.bulk(ROWS, 30, OutputFields("."))
        sent = [request.partition(b"Authorization: ")[2].partition(b"\r\n")[0] for request in peer.requests]
    assert sent == [b"Bearer 1", b"Bearer 1", b"Bearer 2"]


@pytest.mark.parametrize("value", [None, "", "a\r\nX-Other: b", "a\nb", "ä"])
async def test_a_secret_that_is_no_header_fails_the_call_and_is_not_told(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIMENT_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("SENTIMENT_TOKEN", value)
    async with open_peer(headers={"Authorization": "env:SENTIMENT_TOKEN"}) as peer:
        peer.answers = [DOCS]
        with pytest.raises(VersionUnavailable, match="SENTIMENT_TOKEN, the router's variable") as failed:
            await peer.service.bulk(ROWS, 30, SCORED)
        assert not peer.requests
    assert not value or value not in str(failed.value)


async def test_a_file_of_certificates_that_is_missing_fails_the_version() -> None:
    async with open_session() as session:
        service = open_at(session, "https://127.0.0.1:9", ca="/nowhere/ca.pem")
        with pytest.raises(VersionUnavailable, match=r"/nowhere/ca\.pem"):
            await service.info(30)


def test_how_many_rows_and_calls_go_out_at_once() -> None:
    own = Version(endpoints=("http://a:1",), workers=3)
    single = own.model_copy(update={"dialect": dialect(rows="single", concurrency=16)})
    many = own.model_copy(update={"dialect": TEXTS, "output": Output(score="p")})
    assert [(rows_at_once(each), calls_at_once(each)) for each in (own, single, many)] == [
        (256, 3),
        (1, 16),
        (256, 3),
    ]
    assert output_of(many) == OutputFields("p")
