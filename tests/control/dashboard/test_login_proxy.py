"""A proxy that knows its users, before the dashboard: the nginx of docs/login-proxy.md, and a stand-in for
oauth2-proxy's one address that nginx asks.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ekiben.experiments.lifecycle import Status
from tests.control.dashboard.running import TOKEN, Running, controller
from tests.control.dashboard.test_access import PROMOTE, Visitor, promotion
from tests.ports import free_port
from tests.waiting import PATIENCE_S

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")
HOST = "ekiben.example.com"
HEADER = "X-Auth-Request-Email"
PAGE = Path(__file__).parents[3] / "docs" / "login-proxy.md"
API = "/api/experiments/credit-boosting"


class Knows(BaseHTTPRequestHandler):
    """Who somebody is, is what the cookie `sso` says."""

    def do_GET(self) -> None:
        known = re.search(r"sso=([^;]+)", self.headers.get("Cookie", ""))
        self.send_response(202 if known else 401)
        if known:
            self.send_header(HEADER, known[1])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Proxied:
    """A controller and the proxy before it."""

    site: Running
    port: int

    def ask(
        self, method: str, path: str, user: str | None, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """Through the proxy, logged in there as `user`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sso = {"Cookie": f"sso={user}"} if user else {}
        connection.request(method, path, body, {"Host": HOST, **sso, **headers})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def visitor(self, user: str) -> Visitor:
        """A browser that is logged in at the proxy."""

        class Known(Visitor):
            def ask(  # type: ignore[no-untyped-def]
                self, method, path, form=None, **headers
            ):
                sso = f"sso={user}"
                held, self.cookie = self.cookie, f"{self.cookie}; {sso}" if self.cookie else sso
                answer = super().ask(method, path, form, Host=HOST, **headers)
                if self.cookie.endswith(sso):
                    self.cookie = held
                return answer

        return Known(self.port)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    settings = {
        "EKIBEN_TRUSTED_PROXIES": "127.0.0.1",
        "EKIBEN_TRUSTED_USER_HEADER": HEADER,
        "EKIBEN_ADMINS": "mara@example.com",
        "EKIBEN_ALLOWED_HOSTS": HOST,
    }
    with controller(**settings) as site, ThreadingHTTPServer(("127.0.0.1", 0), Knows) as knows:
        threading.Thread(target=knows.serve_forever, args=(0.05,), daemon=True).start()
        (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
        for written, ours in (
            ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
            ("127.0.0.1:4180", f"127.0.0.1:{knows.server_port}"),
            ("127.0.0.1:3100", f"127.0.0.1:{site.port}"),
        ):
            assert written in block
            block = block.replace(written, ours)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {temporary}\n{block} }}"
        )
        process = subprocess.Popen(
            [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]
        )
        try:
            _until_listening(port, process, folder / "errors")
            yield Proxied(site, port)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
            knows.shutdown()


def _until_listening(port: int, process: subprocess.Popen[bytes], errors: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, errors.read_text()
        assert time.monotonic() < deadline, errors.read_text()
        time.sleep(0.02)


def test_whom_the_proxy_does_not_know_is_sent_to_its_log_in(proxied: Proxied) -> None:
    assert proxied.ask("GET", "/", None)[0] == 302


def test_a_viewer_sees_everything_and_changes_nothing(proxied: Proxied) -> None:
    for path in ("/", "/history", "/experiments/credit-boosting", "/models/credit/shadow", f"{API}/report"):
        status, text = proxied.ask("GET", path, "kim@example.com")
        assert status == 200, path
    assert "kim@example.com (viewer)" in proxied.ask("GET", "/", "kim@example.com")[1]
    visitor = proxied.visitor("kim@example.com")
    form_token = visitor.form_token()
    assert visitor.ask("GET", PROMOTE)[0] == 403
    assert visitor.ask("POST", PROMOTE, promotion(form_token))[0] == 403
    body = json.dumps({"why": "because"})
    status, text = proxied.ask(
        "POST", f"{API}/pause", "kim@example.com", body, **{"Content-Type": "application/json"}
    )
    assert (status, "EKIBEN_ADMINS" in text) == (403, True)
    assert proxied.site.stored().document.experiments["credit-boosting"].status is Status.RUNNING


def test_an_admin_changes_things_and_the_history_has_the_proxys_name(proxied: Proxied) -> None:
    json_sent = {"Content-Type": "application/json", "X-Ekiben-Actor": "somebody else"}
    for verb in ("pause", "resume"):
        body = json.dumps({"why": f"to {verb}"})
        assert proxied.ask("POST", f"{API}/{verb}", "mara@example.com", body, **json_sent)[0] == 200
    history = json.loads(proxied.ask("GET", f"{API}/history?limit=2", "kim@example.com")[1])["entries"]
    assert [entry["who"] for entry in history] == ["mara@example.com", "mara@example.com"]
    page = proxied.visitor("mara@example.com").ask("GET", PROMOTE)
    assert (page[0], "with your name: mara@example.com" in page[2]) == (200, True)


def test_another_sites_form_with_the_proxys_cookie_changes_nothing(proxied: Proxied) -> None:
    body = json.dumps({"why": "because"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        status, _ = proxied.ask("POST", f"{API}/pause", "mara@example.com", body, **{"Content-Type": kind})
        assert status == 403
    assert proxied.site.stored().document.experiments["credit-boosting"].status is Status.RUNNING


def test_a_name_that_a_client_writes_itself_counts_for_nothing(proxied: Proxied) -> None:
    assert proxied.ask("GET", "/", None, **{HEADER: "mara@example.com"})[0] == 302
    status, text = proxied.ask("GET", "/", "kim@example.com", **{HEADER: "mara@example.com"})
    assert (status, "kim@example.com (viewer)" in text) == (200, True)


def test_without_a_name_nobody_looks_also_on_the_machine_itself(proxied: Proxied) -> None:
    direct = Visitor(proxied.site.port)
    assert direct.ask("GET", "/")[0] == 303
    assert direct.ask("GET", "/api/status")[0] == 401
    assert direct.ask("GET", "/api/status", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_a_viewer_with_the_token_is_an_admin_under_the_proxys_name(proxied: Proxied) -> None:
    visitor = proxied.visitor("kim@example.com")
    assert visitor.log_in() == 303
    status, _, text = visitor.ask("GET", PROMOTE)
    assert (status, "with your name: kim@example.com" in text) == (200, True)
    another = proxied.visitor("lou@example.com")
    another.cookie = visitor.cookie
    assert another.ask("GET", PROMOTE)[0] == 403
