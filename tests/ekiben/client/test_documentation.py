"""The examples of the README and of docs/client.md run as they stand, against a real router."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ekiben.client import Client, Outcome
from tests.certificates import certificate
from tests.ekiben.client.conftest import KEY, Station
from tests.ports import free_port
from tests.processes import ROOT


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


async def test_the_example_of_the_readme_reports_an_outcome(station: Station) -> None:
    (shown,) = examples("README.md")
    here = shown.replace('"http://127.0.0.1:3000"', f'"{station.router.url}", "{KEY}"')
    given: dict[str, Any] = {"features": {"row": 1}}
    exec(here, given)
    (held,) = await station.held()
    assert (held.name, held.value, held.prediction_id) == ("profit", 12.5, given["answer"].prediction_id)


async def test_the_examples_of_the_page_do_what_it_says(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate(tmp_path, "DNS:router.internal")[0].rename(tmp_path / "our-ca.pem")
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"features": {"row": 1}}
    for shown in examples("docs/client.md"):
        here = shown.replace("http://127.0.0.1:3000", station.router.url)
        exec(here.replace("the-key-of-this-application", KEY), given)
    assert [each.name for each in await station.held()] == ["profit"]
    assert (await given["decide"]("u-treatment", {"row": 1})).version == "v2"

    with Client(station.router.url, KEY) as client:
        assert given["decision"](client, "u-1", {"row": 1}) == "yes"
        with pytest.raises(ValueError, match="refuse: not this one"):
            given["decision"](client, "u-1", {"refuse": True})
    kept: list[Outcome] = []
    outcome = Outcome(name="profit", value=1.0, user_id="u-1")
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        assert given["decision"](client, "u-1", {}) == "review by hand"
        given["report"](client, outcome, kept.append)
    assert kept == [outcome]
