"""The admin API over HTTP: who may do what, what happens, and what is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from ekiben.experiments.reports.metric import State
from ekiben.state.documents.document import DOCUMENT_KEY, dump_document
from tests.control.conftest import TOKEN, Scene, document, scene_over
from tests.control.evidence import beat
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT

REVISION_AND_CHANGES = [
    ("pause", "running", {}, "status: running → paused"),
    ("resume", "paused", {}, "status: paused → running"),
    ("start", "draft", {}, "status: draft → running"),
    ("roll-back", "running", {}, "status: running → rolled_back"),
    ("promote", "running", {"variant": "treatment"}, "status: running → promoted"),
    ("ramp", "running", {"steps": [10, 50]}, "ramp: nothing → {steps: [10, 50]"),
    ("acknowledge", "running", {"model_versions": ["credit_v2:b"]}, "acknowledged_model_versions: "),
]


@pytest.mark.parametrize(("verb", "status", "body", "line"), REVISION_AND_CHANGES)
async def test_a_verb_changes_the_document_and_tells_what_changed_and_what_it_means(
    scene: Scene, verb: str, status: str, body: dict[str, Any], line: str
) -> None:
    before = await scene.put(document(status))
    answer = await scene.act(verb, **body)
    assert answer.status == 200, answer.body
    assert answer.body["done"]
    assert answer.body["revision"] == before.revision + 1
    assert any(line in each for each in answer.body["changes"])
    assert answer.body["consequence"].endswith(".")
    after = await scene.desk.store.load()
    assert after is not None
    assert after.revision == before.revision + 1


async def test_a_dry_run_tells_the_same_and_changes_nothing(scene: Scene) -> None:
    before = await scene.put(document())
    asked = await scene.act("promote", dry_run=True)
    assert asked.body["changes"] == [
        "models.credit.live: v1 → v2",
        f"experiments.{EXPERIMENT}.status: running → promoted",
    ]
    assert "v2 becomes the live version of credit instead of v1" in asked.body["consequence"]
    assert (asked.body["done"], asked.body["revision"]) == (False, before.revision)
    assert await scene.desk.store.load() == before
    done = await scene.act("promote", revision=asked.body["revision"])
    assert done.body["changes"] == asked.body["changes"]


async def test_every_change_is_in_the_history_with_who_when_why_before_and_after(scene: Scene) -> None:
    await scene.put(document())
    await scene.ask("POST", f"/experiments/{EXPERIMENT}/pause", {"why": "alarm"}, **{"X-Ekiben-Actor": "Jo"})
    await scene.act("resume")
    entries = (await scene.get(f"/experiments/{EXPERIMENT}/history?documents=true"))["entries"]
    assert [(each["who"], each["why"]) for each in entries] == [
        ("admin", "a reason"), ("Jo", "alarm"), ("test", "begin"),
    ]  # fmt: skip
    assert entries[1]["changes"] == [f"experiments.{EXPERIMENT}.status: running → paused"]
    assert (entries[1]["before"]["status"], entries[1]["after"]["status"]) == ("running", "paused")
    assert entries[0]["at"] >= entries[1]["at"] > 1.7e9
    everything = (await scene.get("/history?limit=1"))["entries"]
    assert everything[0]["id"] == entries[0]["id"]
    older = (await scene.get(f"/history?limit=1&before={everything[0]['id']}"))["entries"]
    assert older[0]["id"] == entries[1]["id"]


async def test_a_stale_revision_is_refused_with_what_was_changed_meanwhile(scene: Scene) -> None:
    before = await scene.put(document())
    await scene.act("pause")
    answer = await scene.act("roll-back", revision=before.revision)
    assert answer.status == 409
    assert answer.body["type"] == "urn:ekiben:problem:stale"
    assert answer.body["revision"] == before.revision + 1
    (entry,) = answer.body["meanwhile"]
    assert entry["changes"] == [f"experiments.{EXPERIMENT}.status: running → paused"]
    assert entry["who"] == "admin"


async def test_without_a_revision_changes_at_once_all_happen_on_what_is_there(scene: Scene) -> None:
    before = await scene.put(document(coverage=1))
    answers = await asyncio.gather(
        *(scene.act("acknowledge", model_versions=[f"credit_v2:{number}"]) for number in range(6))
    )
    assert [answer.status for answer in answers] == [200] * 6
    after = await scene.desk.store.load()
    assert after is not None
    assert len(after.document.experiments[EXPERIMENT].acknowledged_model_versions) == 6
    assert after.revision == before.revision + 6


async def test_with_one_revision_exactly_one_of_many_changes_happens(scene: Scene) -> None:
    before = await scene.put(document())
    answers = await asyncio.gather(
        *(
            scene.act("acknowledge", revision=before.revision, model_versions=[f"credit_v2:{number}"])
            for number in range(6)
        )
    )
    assert sorted(answer.status for answer in answers) == [200, *[409] * 5]


@pytest.mark.parametrize("form", ["yaml", "json"])
async def test_a_document_is_applied_after_its_differences_were_looked_at(scene: Scene, form: str) -> None:
    await scene.put(document("draft"))
    data = dump_document(document("draft", coverage=50))
    given = yaml.safe_dump(data) if form == "yaml" else data
    body = {"document": given, "why": "more care"}
    looked = await scene.ask("POST", "/apply", {**body, "dry_run": True})
    assert looked.body["changes"] == [f"experiments.{EXPERIMENT}.coverage: 100 → 50"]
    done = await scene.ask("POST", "/apply", {**body, "revision": looked.body["revision"]})
    assert done.body["done"]
    again = await scene.ask("POST", "/apply", body)
    assert (again.status, again.body["done"], again.body["changes"]) == (200, False, [])


async def test_a_version_becomes_a_shadow_and_a_new_one_is_added_with_its_endpoint(scene: Scene) -> None:
    await scene.put(document())
    body = {"version": "v9", "percent": 10, "endpoints": ["http://10.0.0.9:3000"], "why": "delivered"}
    done = await scene.ask("POST", "/models/credit/shadow", body)
    assert (done.status, done.body["done"]) == (200, True)
    after = await scene.desk.store.load()
    assert after is not None
    model = after.document.models["credit"]
    assert (model.shadow["v9"], model.versions["v9"].endpoints) == (10, ("http://10.0.0.9:3000",))
    over = await scene.ask("POST", "/models/credit/shadow", {"version": "v9", "percent": 0, "why": "seen"})
    assert over.body["changes"] == ["models.credit.shadow.v9: removed 10"]


@pytest.mark.parametrize(
    ("model", "version", "said"),
    [("credit", "v9", "v9"), ("nobody", "v1", "nobody"), ("credit", "v1", "is live")],
)
async def test_what_cannot_be_a_shadow_is_refused(scene: Scene, model: str, version: str, said: str) -> None:
    await scene.put(document())
    body = {"version": version, "percent": 10, "why": "x"}
    answer = await scene.ask("POST", f"/models/{model}/shadow", body)
    assert answer.status == 422
    assert said in answer.body["errors"][0]


async def test_an_empty_redis_takes_its_first_document(scene: Scene) -> None:
    assert (await scene.act("pause")).status == 409
    body = {"document": dump_document(document("draft")), "why": "first"}
    answer = await scene.ask("POST", "/apply", body)
    assert (answer.status, answer.body["revision"]) == (200, 1)


async def test_a_first_document_in_which_a_variant_gets_nobody_is_refused(scene: Scene) -> None:
    data = dump_document(document("draft"))
    data["experiments"][EXPERIMENT]["variants"]["control"]["weight"] = 100  # type: ignore[index]
    data["experiments"][EXPERIMENT]["variants"]["treatment"]["weight"] = 0  # type: ignore[index]
    for dry_run in (True, False):
        answer = await scene.ask("POST", "/apply", {"document": data, "why": "first", "dry_run": dry_run})
        assert answer.status == 422
    assert await scene.desk.store.load() is None


async def test_the_file_that_an_older_release_applied_brings_nothing_back_when_it_is_applied_again(
    scene: Scene,
) -> None:
    """30e8d9b kept the digest of the file and not its text."""
    text = yaml.safe_dump(dump_document(document()))
    body = {"document": text, "why": "of this deployment"}
    assert (await scene.ask("POST", "/apply", body)).status == 200
    assert (await scene.act("pause")).status == 200
    await scene.desk.redis.hdel(DOCUMENT_KEY, "text", "earlier", "past", "routing", "stamp")  # type: ignore[misc]
    again = await scene.ask("POST", "/apply", body)
    assert (again.status, again.body["changes"]) == (200, [])
    held = await scene.desk.store.load()
    assert held is not None
    assert held.document.experiments[EXPERIMENT].status == "paused"
    assert held.as_record().applied_text == text.encode()


async def test_a_file_is_not_applied_as_a_whole_unless_somebody_has_looked_at_what_that_changes(
    scene: Scene,
) -> None:
    before = await scene.put(document(coverage=50))  # by a program: no file is known
    body = {"document": yaml.safe_dump(dump_document(document(coverage=10))), "why": "of this deployment"}
    refused = await scene.ask("POST", "/apply", body)
    assert refused.status == 422
    assert "ekiben diff" in refused.body["errors"][0]
    looked = await scene.ask("POST", "/apply", {**body, "dry_run": True})
    assert looked.body["changes"] == [f"experiments.{EXPERIMENT}.coverage: 50 → 10"]
    done = await scene.ask("POST", "/apply", {**body, "revision": before.revision})
    assert (done.status, done.body["done"]) == (200, True)


async def test_a_document_that_is_refused_is_told_with_each_problem(scene: Scene) -> None:
    await scene.put(document())
    data = dump_document(document())
    data["experiments"][EXPERIMENT]["variants"]["control"]["weight"] = 40  # type: ignore[index]
    answer = await scene.ask("POST", "/apply", {"document": data, "why": "x"})
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "the weights add up to 90" in answer.body["errors"][0]
    data["experiments"][EXPERIMENT]["variants"]["treatment"]["weight"] = 60  # type: ignore[index]
    answer = await scene.ask("POST", "/apply", {"document": data, "why": "x"})
    assert "cannot change while the experiment is running" in answer.body["errors"][0]
    answer = await scene.ask("POST", "/apply", {"document": "a: [", "why": "x"})
    assert (answer.status, "not YAML" in answer.body["detail"]) == (422, True)


async def test_what_cannot_be_is_a_problem_and_changes_nothing(scene: Scene) -> None:
    before = await scene.put(document())
    for path, body, status in (
        (f"/experiments/{EXPERIMENT}/pause", {}, 400),
        (f"/experiments/{EXPERIMENT}/pause", {"why": "  "}, 400),
        (f"/experiments/{EXPERIMENT}/pause", {"why": "\x1b[31m"}, 400),
        (f"/experiments/{EXPERIMENT}/pause", {"why": "x", "force": True}, 400),
        (f"/experiments/{EXPERIMENT}/pause", {"why": "x", "revision": "1"}, 400),
        (f"/experiments/{EXPERIMENT}/pause", b'{"why": "\\ud800"}', 400),
        (f"/experiments/{EXPERIMENT}/pause", b"[", 400),
        (f"/experiments/{EXPERIMENT}/pause", b"[" * 100_000, 400),
        (f"/experiments/{EXPERIMENT}/pause", b" " * (1024 * 1024 + 1), 413),
        (f"/experiments/{EXPERIMENT}/resume", {"why": "x"}, 422),
        (f"/experiments/{EXPERIMENT}/promote", {"why": "x", "variant": "control"}, 422),
        (f"/experiments/{EXPERIMENT}/ramp", {"why": "x", "every": "1h"}, 422),
        (f"/experiments/{EXPERIMENT}/ramp", {"why": "x", "steps": [50, 10]}, 422),
        (f"/experiments/{EXPERIMENT}/ramp", {"why": "x", "off": True, "steps": [50]}, 400),
        (f"/experiments/{EXPERIMENT}/fly", {"why": "x"}, 404),
        ("/experiments/nothing/pause", {"why": "x"}, 404),
        ("/history", {"why": "x"}, 405),
        ("/apply", {"why": "x", "document": 5}, 400),
        ("/events/forget", {"why": "x", "user_id": ""}, 400),
    ):
        answer = await scene.ask("POST", path, body)
        assert answer.status == status, (path, answer.body)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= set(answer.body)
    assert await scene.desk.store.load() == before


async def test_no_change_is_made_without_the_token(scene: Scene) -> None:
    before = await scene.put(document())
    path = f"/experiments/{EXPERIMENT}/pause"
    for token in (None, "", "wrong", TOKEN + "x"):
        answer = await scene.ask("POST", path, {"why": "x"}, token=token)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    for verb in ("start", "resume", "promote", "roll-back", "ramp", "acknowledge"):
        url = f"/experiments/{EXPERIMENT}/{verb}"
        assert (await scene.ask("POST", url, {"why": "x"}, token=None)).status == 401
    for url in ("/apply", "/events/forget"):
        assert (await scene.ask("POST", url, {"why": "x"}, token=None)).status == 401
    assert await scene.desk.store.load() == before


async def test_off_loopback_reading_needs_the_token_too(redis: RedisServer, tmp_path: Path) -> None:
    async with scene_over(redis.url, tmp_path, host="10.0.0.5") as scene:
        for path in ("/status", "/experiments", "/history", "/openapi.json"):
            assert (await scene.ask("GET", path, token=None)).status == 401
            assert (await scene.ask("GET", path)).status == 200


async def test_on_loopback_reading_is_open_but_not_to_another_sites_name(scene: Scene) -> None:
    assert (await scene.ask("GET", "/status", token=None)).status == 200
    assert (await scene.ask("GET", "/status", token=None, Host="rebound.example")).status == 401
    assert (await scene.ask("GET", "/status", Host="rebound.example")).status == 200


async def test_who_guesses_the_token_is_not_heard_for_a_while(scene: Scene) -> None:
    path = f"/experiments/{EXPERIMENT}/pause"
    for _ in range(10):
        assert (await scene.ask("POST", path, {"why": "x"}, token="guess")).status == 401
    answer = await scene.ask("POST", path, {"why": "x"}, token="guess")
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1


async def test_status_tells_of_models_experiments_verdicts_ramps_and_workers(scene: Scene) -> None:
    await beat(scene.redis, 1.0, outcomes_open=True, loopback=False)
    stored = await scene.put(document(ramp={"steps": [10, 100]}))
    await scene.know(stored, users=700, guardrail=State.HOLDS)
    status = await scene.get("/status")
    assert status["revision"] == stored.revision
    (model,) = status["models"]
    assert (model["name"], model["live"], model["versions"]) == ("credit", "v1", ["v1", "v2", "v3"])
    (experiment,) = status["experiments"]
    assert (experiment["key"], experiment["status"], experiment["users"]) == (EXPERIMENT, "running", 1400)
    assert experiment["verdict"]["sentence"] == "Keep running: not settled yet."
    assert "anyone can send outcomes to the router on router-1" in status["ramps_refused"]
    assert status["workers"][0]["host"] == "router-1"
    one = await scene.get(f"/experiments/{EXPERIMENT}")
    assert one == experiment


async def test_the_report_is_told_as_it_was_computed(scene: Scene) -> None:
    stored = await scene.put(document())
    missing = await scene.ask("GET", f"/experiments/{EXPERIMENT}/report")
    assert (missing.status, missing.body["detail"]) == (404, f"there is no report of {EXPERIMENT} yet")
    await scene.know(stored)
    told = await scene.get(f"/experiments/{EXPERIMENT}/report")
    assert told["metrics"][0]["effects"]["treatment"]["interval"] == {"low": -0.9, "high": 1.1}
    assert (await scene.get("/models/credit/shadow"))["reports"] == []
    assert (await scene.ask("GET", "/models/nothing/shadow")).status == 404


async def test_forgetting_a_user_removes_events_and_overrides(scene: Scene) -> None:
    await scene.put(document())
    answer = await scene.ask("POST", "/events/forget", {"user_id": "u-control", "why": "asked to"})
    assert (answer.status, answer.body) == (200, {"overrides": 1, "events": {"files": 1}})
    assert scene.forgotten == ["u-control"]
    after = await scene.desk.store.load()
    assert after is not None
    assert list(after.document.experiments[EXPERIMENT].overrides) == ["u-treatment"]


async def test_a_redis_that_is_away_is_503(scene: Scene, redis: RedisServer) -> None:
    await scene.put(document())
    redis.kill()
    answer = await scene.act("pause")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await scene.ask("GET", "/history")).status == 503
    assert (await scene.ask("GET", "/status")).status == 200  # what was known
