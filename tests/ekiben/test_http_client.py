"""Where the command line sends a token: to the address that was named, and nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ekiben.commands.main import app
from ekiben.control import apply
from ekiben.terminal.shell import run_command

TOKEN = "the-admin-token-of-this-test"


class Server(HTTPServer):
    """Keeps the first line and the token of every request, and answers with `answer`."""

    def __init__(self, status: int, content: bytes = b"{}", **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = (status, content, headers)
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        status, content, headers = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(status: int, content: bytes = b"{}", **headers: str) -> Iterator[Server]:
    with Server(status, content, **headers) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(200, b'{"entries": []}') as server:
        monkeypatch.setenv("EKIBEN_CONTROLLER_URL", server.url)
        monkeypatch.setenv("EKIBEN_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("EKIBEN_ROUTER_URL", server.url)
        monkeypatch.setenv("EKIBEN_API_KEY", TOKEN)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server


def test_no_proxy_of_the_environment_sees_a_token(
    controller: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(200, b'{"entries": []}') as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert run_command(app, ["history"]) == 0
        assert run_command(app, ["predict", "credit", "--features", "{}"]) == 1  # it is no router
        assert (len(controller.seen), proxy.seen) == (2, [])


def test_a_proxy_that_is_asked_for_is_used(controller: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(200, b'{"entries": []}') as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("EKIBEN_USE_PROXY", "yes")
        assert run_command(app, ["history"]) == 0
        monkeypatch.setenv("EKIBEN_API_KEY", "the-key-of-this-test")
        for named in (proxy.url, proxy.url.removeprefix("http://")):
            monkeypatch.setenv("http_proxy", named)
            assert run_command(app, ["predict", "credit", "--features", "{}"]) == 1  # it is no router
        assert (proxy.seen, controller.seen) == (
            [
                (f"{controller.url}/api/history?limit=20", f"Bearer {TOKEN}"),
                *[(f"{controller.url}/predict/credit", "Bearer the-key-of-this-test")] * 2,
            ],
            [],
        )
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert run_command(app, ["predict", "credit", "--features", "{}"]) == 1
        assert (len(proxy.seen), len(controller.seen)) == (3, 1)
        monkeypatch.setenv("EKIBEN_USE_PROXY", "maybe")
        assert run_command(app, ["predict", "credit", "--features", "{}"]) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "arguments", [["history"], ["pause", "x", "--yes", "--why", "y"], ["predict", "m", "--features", "{}"]]
)
def test_no_redirect_is_followed(
    controller: Server, capsys: pytest.CaptureFixture[str], status: int, arguments: list[str]
) -> None:
    with serving(200, b'{"entries": []}') as other:
        controller.answer = (status, b"", {"Location": f"{other.url}/elsewhere"})
        assert run_command(app, arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"redirects to {other.url}/elsewhere, which is not followed" in line
        assert (other.seen, controller.seen[0][1]) == ([], f"Bearer {TOKEN}")


def test_outcomes_go_through_no_proxy_and_follow_no_redirect(
    controller: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    file.write_text("user_id,name,value\nu,x,1\n")
    with serving(202) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        controller.answer = (307, b"", {"Location": f"{proxy.url}/outcomes"})
        assert run_command(app, ["outcomes", "import", str(file)]) == 1
        assert ([path for path, _ in controller.seen], proxy.seen) == (["/livez", "/outcomes"], [])
        assert "is not followed" in capsys.readouterr().err


def test_the_job_that_applies_a_file_uses_no_proxy_and_follows_no_redirect(
    controller: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "experiments.yaml").write_text("models: {}\n")
    arguments = [str(tmp_path / "experiments.yaml")]
    with serving(200) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        controller.answer = (200, b'{"changes": [], "revision": 3}', {})
        assert apply.main(arguments, os.environ) == 0
        controller.answer = (302, b"", {"Location": f"{proxy.url}/elsewhere"})
        assert apply.main(arguments, os.environ) == 1
        assert (len(controller.seen), proxy.seen) == (2, [])
    assert "is not followed" in capsys.readouterr().err
