"""API keys: who is let in, to do what, how often, and that no key is told to anybody."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator

import pytest

from router.errors import Forbidden, TooManyRequests, Unauthorized
from router.http.keys import DEFAULT_RATE, OUTCOMES, PREDICT, ApiKey, BadKeys, Keys, TokenBucket, given_key
from router.settings import Settings
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service

KEY, OTHER = "s3cret-of-shop", "s3cret-of-bank"
OPEN = ("/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs")
CLOSED = ("/models", "/models/credit", "/assignment/credit-boosting?user_id=u-1")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def guarded(setting: str, clock: Clock | None = None) -> AsyncIterator[Router]:
    """The router in the process, behind these keys."""
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    async with build_app(credit_document(), services, clock=clock) as router:
        router.worker.keys = Keys.from_setting(setting)
        yield router


def bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key}"}


def name_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def refused(response: Response, status: int) -> str:
    """The detail of a refusal, checked; it never tells a key."""
    assert response.status == status, response.body
    assert response.headers["content-type"] == "application/problem+json"
    assert b"s3cret" not in response.body
    return str(response.json["detail"])


async def test_without_a_key_it_is_401_and_says_how_to_give_one() -> None:
    async with guarded(KEY) as router:
        response = await router.client.predict("u-1", {"row": 1})
        assert "Authorization: Bearer" in refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        assert router.counted("ekiben_key_refusals_total", reason="Unauthorized") == 1


@pytest.mark.parametrize(
    "given",
    [
        bearer("s3cret-of-nobody"),
        bearer(KEY[:-1]),
        bearer(KEY + "x"),
        bearer(KEY.upper()),
        bearer(KEY, "Basic"),
        bearer(""),
        bearer("\x00"),
        {"Authorization": KEY},
        {"Authorization": ""},
        {"X-Api-Key": KEY},
        {"Authorization": f"Bearer {KEY}, Bearer {OTHER}"},
    ],
)
async def test_what_is_not_exactly_a_key_is_401(given: dict[str, str]) -> None:
    async with guarded(f"{KEY},{OTHER}") as router:
        response = await router.client.predict("u-1", {"row": 1}, **given)
        refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        assert router.services[V1].calls == []  # type: ignore[attr-defined]


async def test_bytes_that_are_no_text_are_401() -> None:
    async with guarded(KEY) as router:
        headers = {"authorization": b"Bearer \xff\xfe" * 1000}
        refused(await router.client.request("POST", "/predict/credit", b"{}", headers), 401)


async def test_each_of_several_keys_is_let_in_and_counted_by_its_name() -> None:
    async with guarded(f"{KEY}, {OTHER}") as router:
        for key, times in ((KEY, 2), (OTHER, 3)):
            for _ in range(times):
                assert (await router.client.predict("u-1", {"row": 1}, **bearer(key))).status == 200
            assert router.counted("ekiben_key_requests_total", key=name_of(key)) == times


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_may_be_written_in_any_case(scheme: str) -> None:
    async with guarded(KEY) as router:
        assert (await router.client.predict("u-1", {"row": 1}, **bearer(KEY, scheme))).status == 200


async def test_a_key_that_is_not_ascii_is_compared_by_its_utf_8() -> None:
    async with guarded("ключи-🔑🔑") as router:
        headers = {"authorization": b"Bearer " + "ключи-🔑🔑".encode()}
        body = b'{"features": {}}'
        assert (await router.client.request("POST", "/predict/credit", body, headers)).status == 200


async def test_a_key_without_the_scope_is_403() -> None:
    async with guarded(f"{KEY}:outcomes,{OTHER}:predict") as router:
        assert "predict" in refused(await router.client.predict("u-1", {"row": 1}, **bearer(KEY)), 403)
        assert router.counted("ekiben_key_refusals_total", reason="Forbidden") == 1
        assert (await router.client.predict("u-1", {"row": 1}, **bearer(OTHER))).status == 200


async def test_health_metrics_and_documentation_are_open_and_all_else_is_not() -> None:
    async with guarded(f"{KEY},{OTHER}:outcomes") as router:
        for path in OPEN:
            assert (await router.client.get(path)).status == 200
        for path in CLOSED:
            refused(await router.client.get(path), 401)
            refused(await router.client.get(path, **bearer(OTHER)), 403)
            assert (await router.client.get(path, **bearer(KEY))).status == 200


async def test_nothing_of_a_request_without_a_key_is_read_and_nobody_learns_what_models_there_are() -> None:
    async with guarded(KEY) as router:
        known = await router.client.post("/predict/credit", b"no JSON")
        unknown = await router.client.post("/predict/nope", b"no JSON")
        refused(known, 401)
        assert refused(unknown, 401) == refused(known, 401)
        refused(await router.client.get("/models/nope"), 401)


async def test_over_its_rate_a_key_is_429_until_the_time_it_is_told() -> None:
    clock = Clock()
    async with guarded(f"{KEY}:predict:2,{OTHER}", clock) as router:

        async def predict(key: str) -> Response:
            return await router.client.predict("u-1", {"row": 1}, **bearer(key))

        assert [(await predict(KEY)).status for _ in range(2)] == [200, 200]
        response = await predict(KEY)
        refused(response, 429)
        assert router.counted("ekiben_key_refusals_total", reason="TooManyRequests") == 1
        assert (await predict(OTHER)).status == 200
        clock.now += int(response.headers["retry-after"])
        assert (await predict(KEY)).status == 200


async def test_a_refusal_for_its_scope_costs_a_key_nothing_of_its_rate() -> None:
    keys = Keys.from_setting(f"{KEY}:predict:1")
    for _ in range(5):
        with pytest.raises(Forbidden):
            keys.admit(KEY.encode(), OUTCOMES, 0.0)
    keys.admit(KEY.encode(), PREDICT, 0.0)


def test_a_bucket_gives_its_rate_on_average_and_a_second_of_it_at_once() -> None:
    bucket = TokenBucket(10.0)
    assert sum(bucket.take(0.0) == 0.0 for _ in range(100)) == 10
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert sum(bucket.take(tick / 100) == 0.0 for tick in range(1, 1001)) in (99, 100)
    # However long it waited, it holds no more than a second's worth.
    assert sum(bucket.take(1e6) == 0.0 for _ in range(100)) == 10


def test_a_rate_below_one_a_second_is_kept() -> None:
    bucket = TokenBucket(0.1)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(10.0)
    assert bucket.take(9.9) > 0.0
    assert bucket.take(10.1) == 0.0
    keys = Keys.from_setting("key-of-k:predict:0.1")
    keys.admit(b"key-of-k", PREDICT, 0.0)
    with pytest.raises(TooManyRequests) as raised:
        keys.admit(b"key-of-k", PREDICT, 0.0)
    assert raised.value.retry_after_s >= 10


class Handed(tuple[ApiKey, ...]):
    """Keys that note which of them were looked at."""

    looked_at: list[str]

    def __iter__(self) -> Iterator[ApiKey]:
        self.looked_at = []
        for key in super().__iter__():
            self.looked_at.append(key.name)
            yield key


@pytest.mark.parametrize("given", ["k-0", "k-1", "k-2", "k-x"])
def test_every_key_is_compared_whichever_fits(given: str) -> None:
    keys = Handed(
        ApiKey(hashlib.sha256(key.encode()).digest(), key, frozenset({PREDICT}), None)
        for key in ("k-0", "k-1", "k-2")
    )
    with contextlib.suppress(Unauthorized):
        assert Keys(keys).admit(given.encode(), PREDICT, 0.0) == given
    assert keys.looked_at == ["k-0", "k-1", "k-2"]


@pytest.mark.parametrize(
    "setting",
    [
        " ",
        ",",
        f"{KEY},",
        f",{KEY}",
        ":predict",
        f"{KEY}:admin",
        f"{KEY}:predict+",
        f"{KEY}:predict+admin",
        f"{KEY}:Predict",
        f"{KEY}:predict:fast",
        f"{KEY}:predict:0",
        f"{KEY}:predict:-1",
        f"{KEY}:predict:nan",
        f"{KEY}:predict:inf",
        f"{KEY}:predict:5:6",
        f"{KEY},{OTHER},{KEY}:predict",
    ],
)
def test_a_setting_that_cannot_be_read_is_refused_in_one_line_without_a_key(setting: str) -> None:
    with pytest.raises(BadKeys) as raised:
        Keys.from_setting(setting)
    message = str(raised.value)
    assert message.startswith("EKIBEN_API_KEYS: ")
    assert "s3cret" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("setting", "rate", "admitted"),
    [
        (f"{KEY}", 3, 3),
        (f"{KEY}:predict:", 3, 3),
        (f"{KEY}:predict:5", 3, 5),
        (f"{KEY}:predict:unlimited", 3, 2000),
        (f"{KEY}", 0, 2000),
    ],
)
def test_a_key_without_a_rate_has_the_one_for_all(setting: str, rate: float, admitted: int) -> None:
    keys = Keys.from_setting(setting, rate)
    count = 0
    with contextlib.suppress(TooManyRequests):
        for _ in range(2000):
            keys.admit(KEY.encode(), PREDICT, 0.0)
            count += 1
    assert count == admitted


def test_keys_have_a_rate_unless_it_is_switched_off() -> None:
    environ = {"EKIBEN_CACHE_URL": "redis://c", "EKIBEN_STATE_URL": "redis://s"}
    assert Settings.from_environ(environ).key_rate == DEFAULT_RATE == 1000
    assert Settings.from_environ({**environ, "EKIBEN_KEY_RATE": "0"}).key_rate == 0


@pytest.mark.parametrize("short", ["k", "1234567", "1234567:predict:5"])
def test_a_key_that_can_be_guessed_is_refused(short: str) -> None:
    with pytest.raises(BadKeys, match="at least 8"):
        Keys.from_setting(f"{KEY},{short}")


def test_a_setting_of_bytes_that_are_no_text_is_a_key_like_any_other() -> None:
    keys = Keys.from_setting("key-of-k\udcff")  # as os.environ gives the byte FF
    assert keys.admit(b"key-of-k\xff", PREDICT, 0.0)


@pytest.mark.parametrize(
    ("setting", "scopes"),
    [
        ("key-of-k", "po"),
        ("key-of-k::5", "po"),
        ("key-of-k:predict", "p"),
        ("key-of-k:outcomes", "o"),
        (" key-of-k : predict + outcomes : 5 ", "po"),
    ],
)
def test_a_key_may_do_what_its_scopes_name_and_without_any_everything(setting: str, scopes: str) -> None:
    for scope in (PREDICT, OUTCOMES):
        keys = Keys.from_setting(setting)
        if scope[0] in scopes:
            assert keys.admit(b"key-of-k", scope, 0.0) == name_of("key-of-k")
        else:
            with pytest.raises(Forbidden):
                keys.admit(b"key-of-k", scope, 0.0)


def test_only_a_bearer_gives_a_key() -> None:
    assert given_key(None) is None
    assert given_key(b"Bearer") is None
    assert given_key(b"Bearer \t ") is None
    assert given_key(b"Token abc") is None
    assert given_key(b"bearer  abc ") == b"abc"


async def test_a_key_is_nowhere_in_metrics_answers_or_what_the_door_looks_like(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("DEBUG"):
        async with guarded(f"{KEY},{OTHER}:outcomes:1") as router:
            for key in (KEY, OTHER, OTHER, "s3cret-of-nobody"):
                for response in (
                    await router.client.predict("u-1", {"row": 1}, **bearer(key)),
                    await router.client.get("/models", **bearer(key)),
                ):
                    assert b"s3cret" not in response.body
                    assert not any("s3cret" in value for value in response.headers.values())
            text = (await router.client.get("/metrics")).body.decode()
            assert "s3cret" not in text
            assert f'ekiben_key_requests_total{{key="{name_of(KEY)}"}} 2.0' in text
            assert hashlib.sha256(KEY.encode()).hexdigest() not in text
            assert "s3cret" not in repr(vars(router.worker.keys))
    assert "s3cret" not in caplog.text
