"""What is stored of a version, as services read it."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.serving.stored import ModelRefused, read_card

# What 30e8d9b and the releases before it stored of credit v1.
OF_30E8D9B: dict[str, Any] = {
    "created_at": "2026-11-27T20:13:35+00:00",
    "data_digest": "8b5f1d6e",
    "digest": "185325909948c8fa",
    "features": {"properties": {"age": {"kind": "number"}}},
    "files": {"model.onnx": "81a1", "model.skops": "f4cf"},
    "framework": "scikit-learn 1.9.1",
    "git_revision": "30e8d9b",
    "inputs": ["age", "income"],
    "metrics": {"auc": 0.7, "brier": 0.18},
    "name": "credit",
    "score_column": 1,
    "served_as": "onnx (onnxruntime 1.31.1)",
    "target": "status = bad",
    "version": "v1",
}


def test_a_version_of_an_earlier_release_is_read_and_says_what_it_said() -> None:
    card = read_card("credit_v1:1", OF_30E8D9B)
    assert (card.column, card.inputs, card.output) == (1, ["age", "income"], None)
    assert card.as_metadata() == OF_30E8D9B
    assert card.said() == {
        key: value for key, value in OF_30E8D9B.items() if key not in ("inputs", "score_column", "features")
    }


def test_what_is_stored_is_read_as_it_was_and_unknown_keys_of_a_later_release_do_not_matter() -> None:
    more = {"kind": "multiclass", "classes": ["a", "b"], "score_column": -1, "owner": "sales"}
    card = read_card("shop_v1:1", {**OF_30E8D9B, **more, "of_next_year": 1})
    assert card.column is None
    assert card.said()["classes"] == ["a", "b"]
    assert read_card("shop_v1:1", card.as_metadata()) == card


def test_metadata_of_somebody_else_is_refused_in_one_line() -> None:
    with pytest.raises(ModelRefused) as refused:
        read_card("theirs:1", {**OF_30E8D9B, "metrics": {"auc": "good"}})
    assert str(refused.value) == (
        "theirs:1 was not published by Ekiben (metrics.auc: Input should be a valid number, unable to parse "
        "string as a number): publish it (`ekiben train`, or ekiben.publishing)"
    )
    with pytest.raises(ModelRefused, match=r"\(name: Field required\)"):
        read_card("theirs:1", {})
