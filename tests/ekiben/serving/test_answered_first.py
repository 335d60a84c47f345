"""What answers `POST /bulk` ahead of BentoML's middleware, and what of that middleware still holds for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ekiben.serving.conftest import ROOT, environment

_PROGRAM = """
import asyncio, sys
from bentoml._internal.context import server_context
from bentoml._internal.server.http import instruments
from ekiben.process.bento_middleware import answer_bulk_first, bound_paths

def saying(name):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        print(name)
    return app

async def send(message):
    pass

bound_paths({"/bulk"})
for name in ("churn", "credit"):
    answer_bulk_first(name, saying(name))
server_context.service_name, method, path = sys.argv[1:]
app = instruments.RunnerTrafficMetricsMiddleware(saying("bentoml"))
asyncio.run(app({"type": "http", "method": method, "path": path}, None, send))
"""


_SERVICE = """
import asyncio
import bentoml, httpx
from _bentoml_impl.server.app import ServiceAppFactory
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context
from ekiben.process.bento_middleware import answer_bulk_first, bound_paths

@bentoml.service(name="credit", workers=1, traffic={"timeout": 5, "max_concurrency": 2})
class Credit:
    @bentoml.api
    async def predict(self) -> int:
        return 1

async def bulk(scope, receive, send):
    if scope["query_string"] == b"fail":
        raise RuntimeError("boom")
    await go_on.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def main():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        print((await client.post("/bulk?fail")).status_code)
        two = [asyncio.create_task(client.post("/bulk")) for _ in range(2)]
        await asyncio.sleep(0.1)
        print((await client.post("/bulk")).status_code)
        print((await client.post("/predict", json={})).status_code)
        go_on.set()
        print(*[(await each).status_code for each in two])
        print(BentoMLContainer.metrics_client.get().generate_latest().decode())

bound_paths({"/bulk", "/predict"})
answer_bulk_first("credit", bulk)
server_context.service_name = "credit"
Credit.inject_config()
go_on = asyncio.Event()
app = ServiceAppFactory(Credit, is_main=True)()
asyncio.run(main())
"""


def run(tmp_path: Path, program: str, *arguments: str) -> str:
    """What it prints, in a process of its own: BentoML's app is one for each process."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(tmp_path) | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("service", "method", "path", "answers"),
    [
        ("churn", "POST", "/bulk", "churn"),
        ("credit", "POST", "/bulk", "credit"),
        ("other", "POST", "/bulk", "bentoml"),
        ("credit", "GET", "/bulk", "bentoml"),
        ("credit", "POST", "/predict", "bentoml"),
    ],
)
def test_the_door_of_the_service_that_runs_answers_and_no_other(
    tmp_path: Path, service: str, method: str, path: str, answers: str
) -> None:
    assert run(tmp_path, _PROGRAM, service, method, path).split() == [answers]


def test_an_exception_is_counted_as_500_and_surplus_calls_get_429(tmp_path: Path) -> None:
    printed = run(tmp_path, _SERVICE)
    # The limit of two is one for both paths, as it is where BentoML answers them.
    assert printed.split()[:5] == ["500", "429", "429", "200", "200"]
    counted = re.findall(
        r'^bentoml_service_request_total{endpoint="/bulk",http_response_code="(\d+)",.*} (\S+)$',
        printed,
        re.MULTILINE,
    )
    assert dict(counted) == {"500": "1.0", "429": "1.0", "200": "2.0"}
    assert re.search(r'^bentoml_service_request_in_progress{endpoint="/bulk",.*} 0.0$', printed, re.MULTILINE)
