"""One request is one trace, from the client through router and bulk call to the model service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ekiben.process.environ import BadSetting
from ekiben.process.traces import open_traces, trace_id
from tests.processes import ROOT, RouterProcess
from tests.traces.receiver import Receiver
from tests.waiting import wait_for

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROW = json.loads((ROOT / "training/data/held_out.jsonl").read_text().splitlines()[0])["features"]


def ask(router: RouterProcess, **headers: str) -> httpx.Response:
    body = {"user_id": "u-secret-17", "features": ROW}
    headers["cache-control"] = "no-cache"
    return httpx.post(f"{router.url}/predict/credit", json=body, headers=headers)


def test_the_spans_of_router_bulk_call_and_service_hang_below_the_clients(
    traced: RouterProcess, receiver: Receiver
) -> None:
    answer = ask(traced, traceparent=f"00-{TRACE}-{CLIENT}-01")
    assert answer.status_code == 200
    wait_for(lambda: bool(receiver.named("credit_v1", "bulk")))
    wait_for(lambda: bool(receiver.named("ekiben-router", "predict")))
    (request,) = (each for each in receiver.named("ekiben-router", "predict") if each.trace == TRACE)
    (call,) = (each for each in receiver.named("ekiben-router", "bulk call") if each.trace == TRACE)
    (served,) = (each for each in receiver.named("credit_v1", "bulk") if each.trace == TRACE)
    assert (request.parent, call.parent, served.parent) == (CLIENT, request.span, call.span)
    assert request.attributes["ekiben.request_id"] == answer.json()["request_id"]
    assert request.attributes["ekiben.version"] == "v1"
    assert request.attributes["http.response.status_code"] == 200
    assert call.attributes["ekiben.rows"] == 1
    assert served.attributes["ekiben.model_version"] == answer.json()["model_version"]


def test_a_client_that_does_not_trace_has_its_request_traced_too(
    traced: RouterProcess, receiver: Receiver
) -> None:
    request_id = ask(traced).json()["request_id"]
    wait_for(
        lambda: any(
            each.attributes.get("ekiben.request_id") == request_id and each.parent == ""
            for each in receiver.named("ekiben-router", "predict")
        )
    )


def test_a_traceparent_that_is_none_is_ignored(traced: RouterProcess) -> None:
    assert ask(traced, traceparent="00-zz-no-01").status_code == 200


def test_the_access_log_has_request_trace_and_version_and_nothing_of_the_user(
    traced: RouterProcess, folder: Path
) -> None:
    request_id = ask(traced, traceparent=f"00-{TRACE}-{CLIENT}-01").json()["request_id"]

    def line() -> dict[str, object] | None:
        lines = [json.loads(each) for each in traced.log.read_text().splitlines()]
        return next((each for each in lines if each.get("request_id") == request_id), None)

    wait_for(lambda: line() is not None)
    found = line()
    assert found is not None
    assert (found["trace_id"], found["version"], found["status"]) == (TRACE, "v1", 200)
    assert "u-secret" not in traced.log.read_text()
    assert "seniority" not in traced.log.read_text()


def test_while_off_no_exporter_is_loaded() -> None:
    code = (
        "import os, sys, router.app, ekiben.process.traces\n"
        "assert ekiben.process.traces.open_traces('x', {}) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_receiver_without_the_exporter_installed_is_refused_in_words() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
        "from ekiben.process.traces import open_traces\n"
        "open_traces('x', {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'ekiben[traces]'" in done.stderr
    assert BadSetting.__name__ in done.stderr


@pytest.mark.parametrize("header", [None, b"", b"short", b"00" * 40])
def test_what_is_no_traceparent_has_no_trace_id(header: bytes | None) -> None:
    assert trace_id(header) is None


def test_the_sdk_can_be_switched_off() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert open_traces("x", environ) is None
