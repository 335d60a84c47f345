"""The three services as real BentoML processes."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from tests.ekiben.serving.conftest import JSON

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module", params=["v1", "v2", "v3"])
def url(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def bulk(url: str, rows: Any) -> Any:
    response = httpx.post(f"{url}/bulk", json=rows)
    assert response.status_code == 200, response.text
    return response.json()


def predict(url: str, instances: Any) -> Any:
    response = httpx.post(f"{url}/predict", json={"instances": instances})
    assert response.status_code == 200, response.text
    return response.json()


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics").text


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples."""
    samples = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics(url), re.MULTILINE)
    return sum(map(float, samples))


def test_bulk_answers_every_held_out_applicant_in_order(url: str, applicants: list[dict[str, Any]]) -> None:
    together = bulk(url, applicants)
    assert len(together) == len(applicants)
    for answer in together:
        assert answer["ok"].keys() == {"probability_bad", "decision"}
        assert 0 <= answer["ok"]["probability_bad"] <= 1
    for i in (0, 1, 700, 1336):
        [alone] = bulk(url, [applicants[i]])
        assert alone["ok"]["probability_bad"] == pytest.approx(together[i]["ok"]["probability_bad"], abs=2e-6)


def test_predict_answers_what_bulk_answers(url: str, applicants: list[dict[str, Any]]) -> None:
    assert predict(url, applicants[:5]) == [answer["ok"] for answer in bulk(url, applicants[:5])]


def test_predict_takes_more_instances_than_a_batch_has(url: str, applicants: list[dict[str, Any]]) -> None:
    predictions = predict(url, applicants)
    expected = [answer["ok"]["probability_bad"] for answer in bulk(url, applicants)]
    assert [p["probability_bad"] for p in predictions] == pytest.approx(expected, abs=2e-6)


def test_nothing_asked_is_nothing_answered(url: str) -> None:
    assert bulk(url, []) == []
    assert predict(url, []) == []


def test_every_bulk_answer_names_what_answered(url: str, applicant: dict[str, Any]) -> None:
    info = httpx.get(f"{url}/model/info").json()
    assert re.fullmatch(rf"credit_{info['version']}:[0-9a-f]{{16}}\+[0-9a-f]{{8}}", info["model_version"])
    for content in (json.dumps([applicant]), "[]", "[{}]", "nonsense"):
        response = httpx.post(f"{url}/bulk", content=content, headers=JSON)
        assert response.headers["x-model-version"] == info["model_version"]


def test_model_info_describes_the_version(url: str) -> None:
    info = httpx.get(f"{url}/model/info").json()
    assert info["name"] == "credit"
    assert info["output"] == {
        "score": "probability_bad",
        "positive": "bad",
        "decision": "decision",
        "scores": None,
        "classes": None,
        "names": None,
    }
    assert list(info["features"]["properties"])[:3] == ["seniority", "home", "time"]
    assert info["metrics"].keys() >= {"auc", "brier", "accuracy", "precision", "recall", "f1"}
    assert info["metrics"]["auc"] > {"v1": 0.68, "v2": 0.82, "v3": 0.81}[info["version"]]
    assert info["target"]
    assert info["framework"].split()[0] in ("scikit-learn", "torch")
    assert info["served_as"].split()[0] == {"v1": "onnx", "v2": "onnx", "v3": "torch"}[info["version"]]
    assert {"created_at", "data_digest", "git_revision", "files"} <= info.keys()


def test_a_bad_row_gets_its_error_and_its_neighbours_their_answers(
    url: str, applicants: list[dict[str, Any]]
) -> None:
    good = applicants[:3]
    bad = [{**good[0], "income": -1}, {}, None, {**good[0], "x": [[[[1]]]]}, {**good[0], "age": "40"}]
    answers = bulk(url, [good[0], bad[0], bad[1], good[1], *bad[2:], good[2]])
    assert [answers[0], answers[3], answers[7]] == bulk(url, good)
    for i in (1, 2, 4, 5, 6):
        assert answers[i]["error"]["status"] == 422
        assert all(error.keys() == {"loc", "msg"} for error in answers[i]["error"]["errors"])
    assert answers[1]["error"]["errors"][0]["loc"] == ["income"]


def test_a_row_nested_900_deep_costs_its_neighbours_nothing(url: str, applicant: dict[str, Any]) -> None:
    body = f"[{json.dumps(applicant)}, {'[' * 900}{']' * 900}]"
    response = httpx.post(f"{url}/bulk", content=body, headers=JSON)
    assert response.status_code == 200
    good, bad = response.json()
    assert "ok" in good
    assert bad["error"]["status"] == 422


def test_an_unknown_category_counts_as_a_missing_one(url: str, applicant: dict[str, Any]) -> None:
    names = ("home", "marital", "job")
    unknown, empty, null, absent = bulk(
        url,
        [
            {**applicant, **dict.fromkeys(names, "on the moon 🌙")},
            {**applicant, **dict.fromkeys(names, "")},
            {**applicant, **dict.fromkeys(names)},
            {name: value for name, value in applicant.items() if name not in names},
        ],
    )
    assert unknown == empty == null == absent


def test_missing_numbers_are_answered(url: str, applicant: dict[str, Any]) -> None:
    null, absent = bulk(
        url,
        [
            {**applicant, "income": None, "assets": None, "debt": None},
            {name: value for name, value in applicant.items() if name not in ("income", "assets", "debt")},
        ],
    )
    assert null == absent
    assert "ok" in null


def test_the_ends_of_the_ranges_are_answered_with_a_probability(url: str, applicant: dict[str, Any]) -> None:
    schema = httpx.get(f"{url}/model/info").json()["features"]["properties"]
    rows = []
    for end in ("minimum", "maximum"):
        ends = {name: (field.get("anyOf", [field])[0]).get(end) for name, field in schema.items()}
        rows.append({**applicant, **{name: value for name, value in ends.items() if value is not None}})
    for answer in bulk(url, rows):
        assert 0 <= answer["ok"]["probability_bad"] <= 1


NOT_JSON = [
    b"",
    b"{",
    b"[NaN]",
    b"[1e999]",
    b"[" + b"9" * 5000 + b"]",
    b'["\xff"]',
    b"[" * 1100 + b"]" * 1100,
]


@pytest.mark.parametrize("path", ["/bulk", "/predict"])
@pytest.mark.parametrize("body", [*NOT_JSON, b"{}x", b'"text"', b"1"], ids=lambda body: repr(body[:12]))
def test_what_is_not_strict_json_is_400(v1: str, path: str, body: bytes) -> None:
    response = httpx.post(f"{v1}{path}", content=body, headers=JSON)
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["status"] == 400


def test_a_bulk_body_that_is_no_array_is_400(v1: str, applicant: dict[str, Any]) -> None:
    assert httpx.post(f"{v1}/bulk", json=applicant).status_code == 400


def test_instances_nested_deeper_than_64_are_400(v1: str) -> None:
    body = b'{"instances": ' + b"[" * 65 + b"]" * 65 + b"}"
    assert httpx.post(f"{v1}/predict", content=body, headers=JSON).status_code == 400


@pytest.mark.parametrize("path", ["/bulk", "/predict"])
def test_a_body_over_8_mib_is_413_with_and_without_a_length(v1: str, path: str) -> None:
    megabyte = b" " * 1024 * 1024

    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield megabyte

    for content in (megabyte * 9, chunks()):
        try:
            response = httpx.post(f"{v1}{path}", content=content, headers=JSON)
        except httpx.WriteError:
            continue  # refused, and closed, before all of it was sent
        assert response.status_code == 413
        assert response.headers["content-type"] == PROBLEM


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("path", ["/bulk", "/predict"])
@pytest.mark.parametrize("kind", ["application/vnd.bentoml+pickle", "application/octet-stream", "text/plain"])
def test_a_pickle_is_415_and_stays_one(v1: str, path: str, kind: str, tmp_path: Path) -> None:
    import pickle

    made = tmp_path / "made"
    body = pickle.dumps(Bomb(made))
    headers = {"content-type": kind, "args-number": "1", "payload-container": "DefaultContainer"}
    response = httpx.post(f"{v1}{path}", content=body, headers=headers)
    assert response.status_code == 415
    assert response.headers["content-type"] == PROBLEM
    assert not made.exists()


def test_a_form_is_415(v1: str) -> None:
    assert httpx.post(f"{v1}/predict", data={"instances": "[]"}).status_code == 415
    assert httpx.post(f"{v1}/predict", files={"instances": b"[]"}).status_code == 415


@pytest.mark.parametrize(
    ("instances", "where"),
    [
        ([{"income": "much"}], ["instances", 0, "income"]),
        ("x", ["instances"]),
        ({}, ["instances"]),
        (None, ["instances"]),
        ([1], ["instances", 0]),
    ],
)
def test_an_invalid_instance_is_422_with_its_field(
    v1: str, applicant: dict[str, Any], instances: Any, where: list[Any]
) -> None:
    if isinstance(instances, list) and isinstance(instances[0], dict):
        instances = [{**applicant, **instances[0]}]
    response = httpx.post(f"{v1}/predict", json={"instances": instances})
    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["errors"][0]["loc"] == where


def test_a_field_beside_instances_is_422(v1: str, applicant: dict[str, Any]) -> None:
    assert httpx.post(f"{v1}/predict", json={"instances": [applicant], "x": 1}).status_code == 422


def test_exact_paths_answer_without_a_redirect(v1: str) -> None:
    assert httpx.post(f"{v1}/bulk", json=[]).status_code == 200
    assert httpx.get(f"{v1}/model/info").status_code == 200
    assert httpx.get(f"{v1}/bulk").status_code == 405
    assert httpx.get(f"{v1}/nowhere").status_code == 404
    for path in ("/livez", "/readyz", "/metrics", "/docs.json"):
        assert httpx.get(f"{v1}{path}").status_code == 200


def test_predictions_are_counted_by_version_and_decision(v1: str, applicants: list[dict[str, Any]]) -> None:
    version = httpx.get(f"{v1}/model/info").json()["model_version"]
    before = metric(v1, "ml_predictions_total")
    calls = metric(v1, "ml_prediction_latency_seconds_count")
    answers = bulk(v1, [*applicants[:10], {}])
    assert metric(v1, "ml_predictions_total") == before + 10
    assert metric(v1, "ml_prediction_latency_seconds_count") == calls + 1
    text = httpx.get(f"{v1}/metrics").text
    for decision in {answer["ok"]["decision"] for answer in answers[:10]}:
        assert f'ml_predictions_total{{model_version="{version}",prediction="{decision}"}}' in text
    assert "bentoml_service_request_total" in text


def test_bulk_calls_are_in_bentomls_own_metrics_by_status(v1: str) -> None:
    def counted(name: str, code: str) -> float:
        labels = f'{{endpoint="/bulk",http_response_code="{code}",.*}}'
        found = re.search(rf"^bentoml_service_{name}{labels} (\S+)$", metrics(v1), re.MULTILINE)
        return float(found[1]) if found else 0.0

    names = [("request_total", code) for code in ("200", "400")]
    names += [("request_duration_seconds_count", code) for code in ("200", "400")]
    before = [counted(*each) for each in names]
    bulk(v1, [])
    bulk(v1, [])
    httpx.post(f"{v1}/bulk", content=b"{", headers=JSON)
    assert [counted(*each) - was for each, was in zip(names, before, strict=True)] == [2, 1, 2, 1]
    assert re.search(
        r'^bentoml_service_request_in_progress{endpoint="/bulk",.*} 0.0$', metrics(v1), re.MULTILINE
    )


@pytest.mark.parametrize("path", ["/bulk", "/predict"])
def test_a_body_that_does_not_arrive_is_408_and_not_bentomls_504(v1: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(v1).port or 80)) as client:
        client.sendall(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n["
            % path.encode()
        )
        client.settimeout(30)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert PROBLEM.encode() in answer


async def test_256_clients_at_once_share_model_calls_and_none_is_turned_away(
    v1: str, applicants: list[dict[str, Any]]
) -> None:
    calls = metric(v1, "ml_prediction_latency_seconds_count")
    rounds = 4

    async def client(session: aiohttp.ClientSession, i: int) -> None:
        for _ in range(rounds):
            async with session.post(f"{v1}/predict", json={"instances": [applicants[i]]}) as response:
                assert response.status == 200, await response.text()
                [prediction] = await response.json()
                assert 0 <= prediction["probability_bad"] <= 1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session, i) for i in range(256)))
    made = metric(v1, "ml_prediction_latency_seconds_count") - calls
    assert 1 <= made < 256 * rounds / 2


def test_the_metrics_of_services_on_one_machine_do_not_mix(
    v1: str, v2: str, applicant: dict[str, Any]
) -> None:
    bulk(v1, [applicant])
    bulk(v2, [applicant])
    for url, own, other in ((v1, "credit_v1", "credit_v2"), (v2, "credit_v2", "credit_v1")):
        text = httpx.get(f"{url}/metrics").text
        assert f'model_version="{own}' in text
        assert other not in text


def test_every_line_of_a_services_log_is_json(v1: str, v1_log: Path) -> None:
    lines = v1_log.read_text().splitlines()
    assert lines
    for line in lines:
        assert json.loads(line).keys() >= {"at", "level", "logger", "message"}
