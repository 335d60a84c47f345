"""Who may see and change what: tokens, cookies, forms, hosts, headers. Without a browser."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from ekiben.experiments.lifecycle import Status
from tests.control.dashboard.running import TOKEN, Running, controller
from tests.waiting import wait_for


class Visitor:
    """Sends requests, and keeps the cookie that it is given."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""

    def ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        timeout_s: float = 20.0,
        **headers: str,
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        body = urlencode(form) if form is not None else None
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, sent | headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            text = answer.read().decode()
        finally:
            connection.close()
        if "set-cookie" in found:
            self.cookie = found["set-cookie"].partition(";")[0]
        return answer.status, found, text

    def form_token(self, path: str = "/login") -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.ask("GET", path)[2])
        assert found is not None
        return found[1]

    def log_in(self, token: str = TOKEN) -> int:
        return self.ask("POST", "/login", {"form_token": self.form_token(), "token": token, "who": "mara"})[0]


@pytest.fixture
def visitor(site: Running) -> Visitor:
    return Visitor(site.port)


@pytest.fixture(scope="module")
def public() -> Iterator[Running]:
    """A controller whose settings say that it is reached from elsewhere, under a name."""
    with controller(EKIBEN_HOST="0.0.0.0", EKIBEN_ALLOWED_HOSTS="ekiben.example") as made:
        yield made


PROMOTE = "/experiments/credit-boosting/promote"


def promotion(token: str) -> dict[str, str]:
    return {"form_token": token, "why": "because", "revision": "8", "variant": "treatment"}


def test_promoting_without_a_log_in_leads_to_the_log_in_and_changes_nothing(
    site: Running, visitor: Visitor
) -> None:
    token = visitor.form_token()
    status, headers, _ = visitor.ask("POST", PROMOTE, promotion(token))
    assert (status, headers["location"].partition("?")[0]) == (303, "/login")
    assert visitor.ask("GET", PROMOTE)[0] == 303
    assert site.stored().document.experiments["credit-boosting"].status is Status.RUNNING


def test_a_wrong_token_does_not_log_in(visitor: Visitor) -> None:
    assert visitor.log_in("not-the-token") == 403
    assert visitor.ask("GET", PROMOTE)[0] == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "ä"])
def test_a_form_with_a_wrong_token_is_refused(site: Running, visitor: Visitor, token: str) -> None:
    assert visitor.log_in() == 303
    assert visitor.ask("POST", PROMOTE, promotion(token))[0] == 403
    assert site.stored().document.experiments["credit-boosting"].status is Status.RUNNING


def test_a_form_of_another_browser_is_refused(site: Running, visitor: Visitor) -> None:
    other = Visitor(site.port)
    assert visitor.log_in() == 303
    assert other.log_in() == 303
    assert visitor.ask("POST", PROMOTE, promotion(other.form_token(PROMOTE)))[0] == 403


def test_a_form_from_another_site_is_refused(visitor: Visitor) -> None:
    assert visitor.log_in() == 303
    form = promotion(visitor.form_token(PROMOTE))
    assert visitor.ask("POST", PROMOTE, form, Origin="http://evil.example")[0] == 403
    assert visitor.ask("POST", PROMOTE, form, Origin="null")[0] == 403


def test_logging_in_gives_a_new_cookie_that_no_script_and_no_other_site_can_use(visitor: Visitor) -> None:
    token = visitor.form_token()
    before = visitor.cookie
    _, headers, _ = visitor.ask("POST", "/login", {"form_token": token, "token": TOKEN})
    assert visitor.cookie != before
    parts = {part.strip() for part in headers["set-cookie"].split(";")}
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"} <= parts


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "x"])
def test_logging_in_never_leads_to_another_site(visitor: Visitor, target: str) -> None:
    form = {"form_token": visitor.form_token(), "token": TOKEN, "next": target}
    assert visitor.ask("POST", "/login", form)[1]["location"] == "/"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", ""])
@pytest.mark.parametrize("path", ["/", "/events?page=/", "/static/css/base.css"])
def test_another_host_is_refused(visitor: Visitor, host: str, path: str) -> None:
    assert visitor.ask("GET", path, Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:3100", "127.0.0.1", "[::1]:3100"])
def test_every_name_of_loopback_is_allowed(visitor: Visitor, host: str) -> None:
    assert visitor.ask("GET", "/login", Host=host)[0] == 200


def test_every_answer_carries_the_policy(visitor: Visitor) -> None:
    for path in ("/", "/login", "/static/js/live.js", "/no-such-page"):
        headers = visitor.ask("GET", path)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_off_loopback_every_page_wants_a_log_in(public: Running) -> None:
    visitor = Visitor(public.port)
    for path in ("/", "/history", "/experiments/credit-boosting", "/models/credit/shadow"):
        assert visitor.ask("GET", path)[0] == 303
    for path in ("/events?page=/", "/fragments/traffic?page=/"):
        assert visitor.ask("GET", path)[0] == 401
    assert visitor.log_in() == 303
    assert visitor.ask("GET", "/")[0] == 200
    assert visitor.ask("GET", "/fragments/traffic?page=/")[0] == 200


def test_an_allowed_host_is_allowed_with_any_port(public: Running) -> None:
    visitor = Visitor(public.port)
    assert visitor.ask("GET", "/login", Host="ekiben.example")[0] == 200
    assert visitor.ask("GET", "/login", Host="Ekiben.Example:8443")[0] == 200
    assert visitor.ask("GET", "/login", Host="other.example")[0] == 421


def test_a_session_survives_a_restart_of_the_controller(public: Running) -> None:
    visitor = Visitor(public.port)
    assert visitor.log_in() == 303
    public.stop()
    public.start()
    assert visitor.ask("GET", "/history")[0] == 200


def test_another_token_ends_every_session(public: Running) -> None:
    visitor = Visitor(public.port)
    assert visitor.log_in() == 303
    public.stop()
    public.start(token="another-token-of-the-tests")
    assert visitor.ask("GET", "/history")[0] == 303
    public.stop()
    public.start()


def test_a_log_out_holds_while_redis_hangs_and_afterwards_everywhere(public: Running) -> None:
    def sessions() -> int:
        return len(public.on_redis(lambda client: client.keys("ekiben:session:*")))

    visitor, other = Visitor(public.port), Visitor(public.port)
    assert (visitor.log_in(), other.log_in()) == (303, 303)
    cookie, form_token, before = visitor.cookie, visitor.form_token("/"), sessions()
    public.redis.pause()
    try:
        with pytest.raises(TimeoutError):
            visitor.ask("POST", "/logout", {"form_token": form_token}, timeout_s=0.5)
        visitor.cookie = cookie
        wait_for(lambda: visitor.ask("GET", "/")[0] == 303)
    finally:
        public.redis.resume()
    assert visitor.ask("GET", "/")[0] == 303
    assert other.ask("GET", "/")[0] == 200
    wait_for(lambda: sessions() == before - 1)


@pytest.mark.parametrize(
    "others",
    [
        'theme={"dark": true}',
        "a b=c",
        "=",
        "x=ü".encode().decode("latin-1"),
        'q="unclosed',
        "@@@=1; ,;;",
        "a=b\\",
    ],
)
def test_cookies_of_others_on_this_host_prevent_no_log_in(visitor: Visitor, others: str) -> None:
    class Shared(Visitor):
        def ask(self, method, path, form=None, **headers):  # type: ignore[no-untyped-def]
            held, self.cookie = self.cookie, f"{others}; {self.cookie}".strip("; ")
            answer = super().ask(method, path, form, **headers)
            if self.cookie.startswith(others):
                self.cookie = held
            return answer

    shared = Shared(visitor.port)
    assert shared.log_in() == 303
    assert shared.ask("GET", PROMOTE)[0] == 200


def test_the_right_token_logs_in_after_many_wrong_ones(public: Running) -> None:
    visitor = Visitor(public.port)
    while visitor.log_in("wrong") == 403:
        pass
    assert visitor.log_in("wrong again") == 429
    assert visitor.log_in() == 303


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/experiments/never-was", 404),
        ("/events?page=/experiments/never-was", 200),
        ("/fragments/verdict?page=/experiments/never-was", 404),
        ("/models/never-was/shadow", 404),
        ("/api/experiments/never-was/history", 404),
        ("/api/models/never-was/shadow", 404),
    ],
)
def test_what_never_was_is_looked_up_before_the_history_is_read(
    site: Running, visitor: Visitor, path: str, status: int
) -> None:
    def reads() -> int:
        stats = site.on_redis(lambda client: client.info("commandstats"))
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrange", "xrevrange"))

    before = reads()
    assert visitor.ask("GET", path)[0] == status
    assert reads() == before
