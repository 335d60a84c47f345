"""Which service's door answers ahead of BentoML's middleware, where one process has imported several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.conftest import ROOT, environment

_PROGRAM = """
import asyncio, sys
from bentoml._internal.context import server_context
from bentoml._internal.server.http import instruments
from ekiben.process.bento_paths import answer_first, bound_paths

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
    answer_first(name, "POST", "/bulk", saying(name))
app = instruments.RunnerTrafficMetricsMiddleware(saying("bentoml"))
server_context.service_name, method, path = sys.argv[1:]
asyncio.run(app({"type": "http", "method": method, "path": path}, None, send))
"""


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
    command = [sys.executable, "-c", _PROGRAM, service, method, path]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [answers]
