"""What every page says first: what is wrong with the experiments themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ekiben.control.dashboard.rendering import Renderer
from ekiben.experiments.changes.releases import Kept
from ekiben.state.documents.applying import FileStanding
from ekiben.state.documents.document import Stored
from tests.router.documents import credit_document


def notices(file: FileStanding | None = None, not_run: dict[str, str] | None = None) -> str:
    stored = Stored("here", 1, "", credit_document(), kept=Kept(not_run=not_run or {}))
    desk: Any = SimpleNamespace(
        note=None, state_away=False, stored=stored, beats=("a worker",), file=lambda: file,
        failing=dict, clock_off=lambda: None,
    )  # fmt: skip
    return str(Renderer().fragments(("notices",), {"desk": desk, "now": 0.0})["notices"].html)


def test_there_is_no_notice_where_all_is_well() -> None:
    assert "notice" not in notices()
    assert "notice" not in notices(FileStanding("experiments.yaml", "in force", 0.0))


@pytest.mark.parametrize(
    ("state", "says"),
    [("refused", "is not applied"), ("late", "is not applied"), ("waits", "experiments.yaml waits")],
)
def test_a_file_that_is_not_in_force_is_a_notice_with_each_reason(state: Any, says: str) -> None:
    shown = notices(FileStanding("experiments.yaml", state, 0.0, ("coverage: <b> (line 3)", "another")))
    assert says in shown
    assert "coverage: &lt;b&gt; (line 3)" in shown
    assert "another" in shown
    assert ("alert" in shown) == (state == "refused")


def test_an_experiment_that_is_not_run_is_a_notice() -> None:
    shown = notices(not_run={"new-one": "it needs where, which this release does not have"})
    assert "new-one is not run" in shown
    assert "it needs where" in shown
