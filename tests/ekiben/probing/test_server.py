"""Asking a server what it is, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ekiben.commands.main import app
from ekiben.probing.server import probe
from ekiben.terminal.errors import EkibenError, UsageError
from tests.ekiben.probing.test_proposal import JUDGED, TEXT, argument, array, docs
from tests.ports import free_port

Start = Callable[[dict[str, Any]], str]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server of these pages, and returns its URL."""
    running: list[ThreadingHTTPServer] = []

    def begin(pages: dict[str, Any]) -> str:
        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path)
                body = page if isinstance(page, bytes) else json.dumps(page).encode()
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield begin
    for server in running:
        server.shutdown()
        server.server_close()


SENTIMENT = docs(argument(texts=array(TEXT)), array(JUDGED))


def test_the_command_prints_what_goes_into_the_file(start: Start) -> None:
    url = start({"/docs.json": SENTIMENT})
    result = CliRunner().invoke(app, ["probe", f"{url}/"])
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(result.stdout)["v1"]["dialect"]["argument"] == "texts"
    assert result.stdout.endswith("}\n")


def test_each_api_has_an_entry(start: Start) -> None:
    operation = SENTIMENT["paths"]["/predict"]
    url = start({"/docs.json": SENTIMENT | {"paths": {"/a": operation, "/b": operation}}})
    result = CliRunner().invoke(app, ["probe", url])
    entries = yaml.safe_load(result.stdout)
    assert {name: entry["dialect"]["path"] for name, entry in entries.items()} == {"v1": "/a", "v2": "/b"}


def test_a_service_of_ours_needs_its_address_alone(start: Start) -> None:
    url = start({"/model/info": {"model_version": "credit_v1:abc"}})
    (proposal,) = probe(url)
    assert proposal.version == {"endpoints": [url]}
    assert "credit_v1:abc" in proposal.notes[0]


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/docs.json": b"<html>"},
        {"/docs.json": b"[" * 100_000},
        {"/docs.json": {"paths": {}}},
        {"/docs.json": {"paths": {"no path": SENTIMENT["paths"]["/predict"]}}},
        {"/model/info": {"model_version": 1}},
    ],
)
def test_a_server_that_nobody_knows_is_named(pages: dict[str, Any], start: Start) -> None:
    url = start(pages)
    with pytest.raises(EkibenError, match=f"what answers at {url} is no service"):
        probe(url)


def test_nobody_there_is_said() -> None:
    with pytest.raises(EkibenError, match="nothing answers at http"):
        probe(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://a", "http://a/predict", "http://", "file:///etc"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="is not an endpoint"):
        probe(url)
