"""The gate before a deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiben.publishing.gate import Check, GateError, judge, read_gates
from ekiben.serving.card import StoredCard

HIGHER = Check(better="higher", max_worse=0.01)
LOWER = Check(better="lower", max_worse=0.01)


def measured(data_digest: str = "d", **metrics: float) -> StoredCard:
    said = dict.fromkeys(("name", "version", "framework", "served_as", "target", "digest"), "")
    return StoredCard(
        **said,
        inputs=[],
        metrics=metrics,
        data_digest=data_digest,
        features={},
        git_revision="",
        created_at="",
        files={},
    )


@pytest.mark.parametrize(
    ("check", "live", "candidate", "passed"),
    [
        (HIGHER, 0.80, 0.85, True),
        (HIGHER, 0.80, 0.795, True),
        (HIGHER, 0.80, 0.78, False),
        (LOWER, 0.20, 0.10, True),
        (LOWER, 0.20, 0.205, True),
        (LOWER, 0.20, 0.22, False),
    ],
)
def test_a_version_may_be_worse_by_what_is_allowed_and_no_more(
    check: Check, live: float, candidate: float, passed: bool
) -> None:
    (result,) = judge({"m": check}, measured(m=live), measured(m=candidate))
    assert result.passed is passed


def test_a_metric_that_one_of_them_lacks_does_not_pass() -> None:
    (result,) = judge({"m": HIGHER}, measured(m=0.8), measured(other=0.9))
    assert (result.passed, result.candidate, result.worse_by) == (False, None, None)


def test_versions_that_were_measured_on_different_data_are_not_compared() -> None:
    with pytest.raises(GateError, match="different data"):
        judge({"m": HIGHER}, measured(m=0.8), measured("e", m=0.9))


def test_a_gate_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text("credit:\n  auc: {better: up, max_worse: 0.1}\n")
    with pytest.raises(GateError, match=r"credit\.auc\.better"):
        read_gates(path)


def test_the_gate_of_credit_reads() -> None:
    assert "auc" in read_gates()["credit"]
