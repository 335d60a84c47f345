"""Who gets which version: sticky, split as asked, and told alike by every page."""

from __future__ import annotations

import math

from ekiben.experiments.snapshot import Snapshot
from tests.router.conftest import Router, build_app
from tests.router.documents import EXPERIMENT, V1, V2, V3, credit_document
from tests.router.services import Service


def services() -> dict[str, Service]:
    return {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}


async def test_a_user_keeps_its_version_over_1000_requests(router: Router) -> None:
    for user in ("u-1", "u-2", "🍱"):
        versions = {(await router.client.predict(user, {"row": n})).json["version"] for n in range(1000)}
        assert len(versions) == 1


async def test_a_restarted_router_gives_every_user_the_version_of_before() -> None:
    rounds = []
    for _ in range(2):
        async with build_app(credit_document(), services()) as router:
            rounds.append(
                [(await router.client.predict(f"u-{n}", {"row": 1})).json["version"] for n in range(200)]
            )
    assert rounds[0] == rounds[1]
    assert set(rounds[0]) == {"v1", "v2"}


async def test_the_split_of_20000_users_is_within_binomial_bounds() -> None:
    share = 0.2
    variants = {"control": {"version": "v1", "weight": 80}, "treatment": {"version": "v2", "weight": 20}}
    document = credit_document(experiment={"variants": variants, "overrides": {}})
    async with build_app(document, services()) as router:
        treated = 0
        for number in range(20_000):
            reply = (await router.client.predict(f"user-{number}", {"row": 1})).json
            assert reply["version"] == {"control": "v1", "treatment": "v2"}[reply["variant"]]
            treated += reply["variant"] == "treatment"
    # 4 standard deviations: true of 99.99 % of seeds, and always of this one.
    assert abs(treated - 20_000 * share) < 4 * math.sqrt(20_000 * share * (1 - share))


async def test_assignment_says_what_predict_does_and_records_nothing() -> None:
    document = credit_document(experiment={"coverage": 60})
    async with build_app(document, services()) as router:
        users = [f"u-{number}" for number in range(100)] + [
            "u-treatment",
            "u-control",
            "zoë & co=?",
            "🍱",
            " ",
        ]
        for user in users:
            told = (await router.client.assignment(user)).json
            before = len(router.events.held)
            reply = (await router.client.predict(user, {"row": 1})).json
            assert (told["variant"], told["version"]) == (reply["variant"], reply["version"])
            assert told["in_experiment"] == (reply["variant"] is not None)
            assert len(router.events.held) - before == told["in_experiment"]


async def test_assignment_has_the_fields_of_the_design(router: Router) -> None:
    assert (await router.client.assignment("u-treatment")).json == {
        "experiment": EXPERIMENT,
        "in_experiment": True,
        "variant": "treatment",
        "version": "v2",
        "bucket": Snapshot("", 1, credit_document()).explain(EXPERIMENT, "u-treatment").bucket,
        "reason": "override",
    }


async def test_a_draft_experiment_is_explained_and_serves_live() -> None:
    async with build_app(credit_document(experiment={"status": "draft"}), services()) as router:
        told = (await router.client.assignment("u-treatment")).json
        assert (told["in_experiment"], told["reason"], told["version"]) == (False, "status", "v1")
        reply = (await router.client.predict("u-treatment", {"row": 1})).json
        assert (reply["version"], reply["experiment"]) == ("v1", None)
        assert router.events.held == []


async def test_assignment_wants_one_user_of_1_to_256_characters(router: Router) -> None:
    path = f"/assignment/{EXPERIMENT}"
    long = "u" * 257
    for query in (
        "",
        "?",
        "?user_id=",
        "?user_id=a&user_id=b",
        f"?user_id={long}",
        "?user=a",
        "?user_id=%FF",
    ):
        assert (await router.client.get(path + query)).status == 400, query
    for given in (b"user_id=%ED%A0%80", b"user_id=\xff"):
        assert (await router.client.request("GET", path, query=given)).status == 400, given


async def test_a_user_in_the_query_is_utf_8_with_and_without_percent_signs(router: Router) -> None:
    path = f"/assignment/{EXPERIMENT}"
    plain = await router.client.request("GET", path, query="user_id=zoë".encode())
    quoted = await router.client.assignment("zoë")
    assert plain.json == quoted.json
    assert plain.json["variant"] == (await router.client.predict("zoë", {})).json["variant"]


async def test_a_growing_coverage_moves_nobody_and_takes_effect_at_once(router: Router) -> None:
    users = [f"u-{number}" for number in range(300)]
    seen: dict[str, str] = {}
    for revision, coverage in enumerate((10, 40, 100), start=2):
        router.adopt(credit_document(experiment={"coverage": coverage}), revision)
        for user in users:
            reply = (await router.client.predict(user, {"row": 1})).json
            if reply["variant"] is not None:
                assert seen.setdefault(user, reply["variant"]) == reply["variant"]
            else:
                assert user not in seen
    assert len(seen) == len(users)
