"""An experiment's name and phase are one experiment's alone, also when it is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ekiben.experiments.document import Document
from ekiben.experiments.problems import DocumentError
from ekiben.state.documents.document import PHASES_KEY, DocumentStore, Stored, open_store
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit_document


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[DocumentStore]:
    store = open_store(redis.url)
    yield store
    await store.close()


def with_experiment(status: str, **fields: Any) -> Document:
    return credit_document(experiment={"status": status, **fields})


WITHOUT = with_experiment("draft").model_copy(update={"experiments": {}})


async def after(store: DocumentStore, *documents: Document) -> Stored:
    held: Stored | None = None
    for document in documents:
        held = await store.change(held, document, who="test", why="one after the other")
    assert held is not None
    return held


async def test_the_name_and_phase_of_an_experiment_that_is_gone_are_not_given_to_another(
    store: DocumentStore,
) -> None:
    ended = with_experiment("rolled_back", phase=3, seed="s")
    held = await after(store, with_experiment("running"), ended, WITHOUT)
    for phase in (1, 3):
        with pytest.raises(DocumentError) as refused:
            await store.check(held, with_experiment("running", phase=phase))
        (line,) = refused.value.problems
        assert line.startswith(f"experiments.{EXPERIMENT}.phase: another experiment of this name ran up to")
        assert "begin with phase 4 and a seed of its own, such as credit-boosting-4" in line
    await store.check(held, with_experiment("running", phase=4, seed="another"))
    await store.check(held, with_experiment("draft"))


async def test_a_draft_of_an_old_name_is_refused_when_it_is_started(store: DocumentStore) -> None:
    held = await after(store, with_experiment("running"), with_experiment("rolled_back"), WITHOUT)
    held = await store.change(held, with_experiment("draft"), who="test", why="again")
    with pytest.raises(DocumentError):
        await store.check(held, with_experiment("running"))


async def test_a_draft_that_never_ran_leaves_its_name_free_and_whatever_runs_may_go_on(
    store: DocumentStore,
) -> None:
    held = await after(store, with_experiment("draft"), WITHOUT)
    await store.check(held, with_experiment("running"))
    held = await store.change(held, with_experiment("running"), who="test", why="now")
    await store.check(held, with_experiment("paused"))
    held = await store.change(held, with_experiment("paused"), who="test", why="a while")
    await store.check(held, with_experiment("running"))


async def test_what_ran_before_names_were_noted_is_noted_when_it_is_removed(
    store: DocumentStore, redis: RedisServer
) -> None:
    held = await after(store, with_experiment("rolled_back", phase=2, seed="s"))
    client = redis.client()
    await client.delete(PHASES_KEY)
    await client.aclose()
    held = await store.change(held, WITHOUT, who="test", why="tidy")
    with pytest.raises(DocumentError):
        await store.check(held, with_experiment("running"))
