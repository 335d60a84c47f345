"""The forms of the verbs, as a browser sends them back. Without a browser."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from ekiben.control.dashboard.forms import fields_of
from ekiben.experiments.changes.verbs import VERBS
from ekiben.experiments.document import Ramp
from tests.control.conftest import document
from tests.control.dashboard.running import TOKEN, Running, controller
from tests.control.dashboard.test_access import Visitor
from tests.router.documents import EXPERIMENT
from tests.waiting import wait_for

KEY = "fraud-graph"
PATH = f"/experiments/{KEY}/ramp"


@pytest.fixture(scope="module")
def acted() -> Iterator[Running]:
    with controller() as made:
        yield made


def set_ramp(site: Running, **ramp: Any) -> None:
    request = urllib.request.Request(
        f"{site.url}/api{PATH}",
        json.dumps({"why": "by a program", **ramp}).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def ramp_of(site: Running) -> Ramp | None:
    return site.stored().document.experiments[KEY].ramp


def filled(page: str) -> dict[str, str]:
    """What the form sends when nobody touches it."""
    form = page[page.index('class="card form"') :]
    inputs = [
        dict(re.findall(r'(\w+)="([^"]*)"', each)) | {"raw": each}
        for each in re.findall("<input[^>]*>", form)
    ]
    return {
        each["name"]: unescape(each["value"])
        for each in inputs
        if each.get("type") != "radio" or " checked" in each["raw"]
    }


def test_a_form_that_is_sent_as_it_came_changes_nothing_and_one_field_changes_one(acted: Running) -> None:
    set_ramp(acted, steps=[12.3456789, 50], guardrails=[], every="2h", then="promote")
    before = ramp_of(acted)
    assert before is not None
    visitor = Visitor(acted.port)
    visitor.log_in()
    wait_for(lambda: "12.3456789" in visitor.ask("GET", PATH)[2])
    form = filled(visitor.ask("GET", PATH)[2])
    assert (form["steps"], form["guardrails"], form["then"]) == ("12.3456789, 50", "", "promote")
    assert visitor.ask("POST", PATH, form | {"why": "as it is"})[0] == 303
    assert ramp_of(acted) == before
    preview = visitor.ask("POST", PATH, form | {"every": "3h", "preview": "1"})[2]
    lines = [unescape(each) for each in re.findall(r"experiments\.fraud-graph\.[^<]*", preview)]
    assert lines == ["experiments.fraud-graph.ramp.every: 2h → 3h"]
    assert visitor.ask("POST", PATH, form | {"every": "3h", "why": "more slowly"})[0] == 303
    assert ramp_of(acted) == before.model_copy(update={"every": "3h"})


def test_the_form_of_a_ramp_says_in_words_what_can_be_chosen(acted: Running) -> None:
    visitor = Visitor(acted.port)
    visitor.log_in()
    form = visitor.ask("GET", PATH)[2]
    form = form[form.index('class="card form"') :]
    assert "> wait for a person</label>" in form
    assert "> promote by itself, if the verdict says so</label>" in form
    assert "`" not in form


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_no_field_of_a_form_shows_markup(verb: Any) -> None:
    for field in fields_of(verb, document().experiments[EXPERIMENT], {}):
        assert "`" not in "".join([field.label, field.hint, *(words for _, words in field.choices)])
