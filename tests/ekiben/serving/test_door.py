"""The way from rows to answers, without a process around it."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bentoml
import httpx
import numpy as np
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from numpy.typing import NDArray

from ekiben.serving.door import BATCHING, SETTINGS, Door
from ekiben.serving.features import Features, number
from ekiben.serving.models.model import Row
from ekiben.serving.models.onnx_model import load_onnx
from ekiben.serving.stored import ModelRefused, Stored
from services.credit.schema import OUTPUT, Applicant, Prediction


@pytest.fixture(autouse=True)
def store(home: Path) -> Iterator[None]:
    """BentoML looks into the store of the tests."""
    before = BentoMLContainer.model_store.get()
    BentoMLContainer.model_store.set(type(before)(home / "models"))
    yield
    BentoMLContainer.model_store.set(before)
    gc.unfreeze()


class HalfTheAge:
    """A model that says half the age, in percent, and has no number for the very young."""

    inputs = ("age",)
    runtime = "tests"

    def __init__(self, stored: Stored) -> None:
        self.batches: list[int] = []

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.batches.append(len(rows))
        return np.array([math.nan if not row["age"] else row["age"] / 200 for row in rows])


class OnlyIncome(Features):
    income: float = number(0, 1, "money", "")


def opened(features: type[Features] = Applicant, load: Any = HalfTheAge) -> Door:
    door = Door("credit_v1", features, OUTPUT, load)

    @bentoml.service(name="credit_v1", **SETTINGS)
    class Service:
        model = door.model

    door.attach(Service)
    door.open()
    return door


def test_one_bulk_call_is_one_model_call(applicant: dict[str, Any]) -> None:
    made: list[HalfTheAge] = []

    def load(stored: Stored) -> HalfTheAge:
        made.append(HalfTheAge(stored))
        return made[0]

    door = opened(load=load)
    made[0].batches.clear()
    answers = door.kernel.answer([{**applicant, "age": age} for age in (20, "?", 30, 40)])
    assert [answer.get("ok", {}).get("probability_bad") for answer in answers] == [0.1, None, 0.15, 0.2]
    assert made[0].batches == [3]


def test_a_row_without_a_finite_answer_gets_an_error_and_no_number(applicant: dict[str, Any]) -> None:
    good, bad, last = opened().kernel.answer([{**applicant, "age": age} for age in (20, 0, 40)])
    assert [good["ok"]["decision"], last["ok"]["decision"]] == ["approve", "decline"]
    assert bad == {"error": {"status": 500}}


class NoOldest(HalfTheAge):
    """A model that raises on a batch with somebody of 119."""

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        if any(row["age"] == 119 for row in rows):
            raise ZeroDivisionError
        return super().scores(rows)


def test_a_row_that_the_model_raises_on_costs_its_neighbours_nothing(applicant: dict[str, Any]) -> None:
    answers = opened(load=NoOldest).kernel.answer([{**applicant, "age": age} for age in (20, 119, "?", 40)])
    assert [answer.get("error", {}).get("status") for answer in answers] == [None, 500, 422, None]


async def test_a_request_to_predict_that_the_model_raises_on_is_500_and_the_others_of_its_batch_200(
    applicant: dict[str, Any],
) -> None:
    door = Door("credit_v1", Applicant, OUTPUT, NoOldest)

    @bentoml.service(name="credit_v1", **SETTINGS)
    class Service:
        model = door.model

        def __init__(self) -> None:
            door.open()

        @bentoml.api(**BATCHING)
        async def predict(self, instances: list[Applicant]) -> list[Prediction]:
            await asyncio.sleep(0.05)  # the requests that come meanwhile are one batch
            sizes.append(len(instances))
            return door.predict(instances)

    door.attach(Service)
    sizes: list[int] = []
    app = Service.to_asgi()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:

            async def ask(*ages: int) -> tuple[int, Any]:
                body = {"instances": [{**applicant, "age": age} for age in ages]}
                response = await client.post("/predict", json=body)
                return response.status_code, response.json()

            await ask(20)
            first, *others = await asyncio.gather(ask(20), ask(30), ask(40, 119), ask(119), ask(50, 60))
    assert max(sizes) > 2, "nothing was batched"
    assert [status for status, _ in (first, *others)] == [200, 200, 500, 500, 200]
    assert [each["probability_bad"] for each in others[3][1]] == [0.25, 0.3]


def test_what_was_loaded_is_kept_out_of_garbage_collections() -> None:
    gc.unfreeze()
    opened()
    assert gc.get_freeze_count() > 10_000


def test_a_model_that_looks_at_features_the_service_lacks_is_refused() -> None:
    with pytest.raises(ModelRefused, match=r"looks at age, .* which OnlyIncome does not have"):
        opened(OnlyIncome, load_onnx)
