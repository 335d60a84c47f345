"""The description of the admin API is what it does: requests made from it, and whatever comes back."""

from __future__ import annotations

import re

from ekiben.control.api.admin import openapi
from tests.control.conftest import Scene, document


async def test_every_path_that_is_served_is_described_and_no_other(scene: Scene) -> None:
    await scene.put(document())
    for path, operations in openapi()["paths"].items():
        url = re.sub(r"\{\w+\}", "nothing", path)
        for method in ("GET", "POST"):
            answer = await scene.ask(method, url, {} if method == "POST" else None)
            described = method.lower() in operations
            no_page = answer.status == 405 or "no such page" in str(answer.body)
            assert described is not no_page, (method, path, answer.body)
            if described:
                responses = next(iter(operations.values()))["responses"]
                assert str(answer.status) in responses, (method, path, answer.status)
