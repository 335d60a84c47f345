"""The rendered requests of the benchmark."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from loadtests.bench.streams import (
    DIRECT,
    FIRST_DISTINCT,
    HELD_OUT,
    LAST_DISTINCT,
    ROUTER,
    Ask,
    Numbers,
    applicant,
    read_rows,
    write_distinct,
    write_repeats,
)

ROOT = Path(__file__).parents[2]
ROWS = read_rows(ROOT / HELD_OUT)


@pytest.mark.parametrize("ask", [ROUTER, DIRECT])
def test_a_rendered_request_has_the_length_it_says(ask: Ask) -> None:
    for row in random.Random(1).sample(ROWS, 20):
        request = "1234567".join(ask.pieces(row, "127.0.0.1:1"))
        head, body = request.split("\r\n\r\n")
        assert f"Content-Length: {len(body.encode())}" in head.split("\r\n")
        assert head.startswith(f"POST {ask.path} HTTP/1.1\r\n")


def test_a_rendered_body_is_the_applicant_of_its_number() -> None:
    for row in ROWS[:20]:
        body = json.loads("1234567".join(ROUTER.pieces(row, "h")).split("\r\n\r\n")[1])
        assert body == {"user_id": "u-1234567", "features": applicant(row, 1_234_567)}
        assert json.loads(DIRECT.body(row, 1_234_567)) == {"instances": [applicant(row, 1_234_567)]}


def test_every_number_is_another_applicant() -> None:
    amounts = {
        applicant(ROWS[0], number)["amount"] for number in range(FIRST_DISTINCT, FIRST_DISTINCT + 5_000)
    }
    assert len(amounts) == 5_000
    assert all(0 <= amount - ROWS[0]["amount"] < 1 for amount in amounts)


def test_numbers_run_out_with_an_error_before_one_is_sent_twice() -> None:
    numbers = Numbers()
    numbers.sent(10)
    assert numbers.next == FIRST_DISTINCT + 10
    with pytest.raises(OverflowError):
        numbers.sent(LAST_DISTINCT)


def test_the_distinct_stream_is_one_line_of_pieces_a_row(tmp_path: Path) -> None:
    stream = write_distinct(ROUTER, ROWS[:3], "h", tmp_path / "d.lua")
    text = stream.data.read_text()
    assert not stream.repeats
    assert text.count("POST /predict/credit HTTP/1.1\\r\\n") == 3
    assert text.startswith("return {{")
    assert "#" not in text


def test_repeats_are_a_thousand_requests_and_zipf_draws(tmp_path: Path) -> None:
    text = write_repeats(ROUTER, ROWS, "h", tmp_path / "r.lua").data.read_text()
    assert text.count("POST ") == 1_000
    draws = Counter(map(int, text.rsplit("draws={", 1)[1].rstrip("}\n").split(",")))
    assert set(draws) <= set(range(1, 1_001))
    assert draws[1] == pytest.approx(10 * draws[10], rel=0.2)  # weight 1/rank


def test_features_as_text_are_json_in_a_json_string() -> None:
    ask = Ask("/infer", '{"data":[', "]}", headers=("X-User-ID: u-#",), as_text=True)
    body = json.loads(ask.body(ROWS[0], 1_234_567))
    assert json.loads(body["data"][0]) == applicant(ROWS[0], 1_234_567)
    assert "X-User-ID: u-1234567\r\n" in "1234567".join(ask.pieces(ROWS[0], "h"))
