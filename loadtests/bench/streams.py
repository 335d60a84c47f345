"""The requests: applicants made of the held-out rows, rendered beforehand so that sending them costs nothing.

Lua runs on the cores that are measured. All it does for a request is to put a number of seven digits where
the rendered text has `#`: into the user's id and behind the decimal point of the loan's amount. So each
number is another user with another valid application, and every body of a row has the same length.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SCRIPT: Final = Path(__file__).parent / "stream.lua"
HELD_OUT: Final = Path("training/data/held_out.jsonl")
# Seven digits, always: below it lie the numbers of those who come again, above those of the checks.
FIRST_REPEATED: Final = 1_000_000
FIRST_DISTINCT: Final = 1_100_000
LAST_DISTINCT: Final = 8_999_999
FIRST_CHECKED: Final = 9_000_000
POPULATION: Final = 1_000
DRAWS: Final = 65_536

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """How a server takes one applicant: the path, and the JSON around the features. `#` is the number.

    With `as_text` the features are the JSON of a JSON string.
    """

    path: str
    opening: str
    closing: str
    headers: tuple[str, ...] = ()
    as_text: bool = False

    def body(self, row: Row, number: int) -> str:
        """The body for one applicant."""
        return self._template(row).replace("#", str(number))

    def pieces(self, row: Row, host: str) -> list[str]:
        """The whole HTTP/1.1 request to a host or its URL, cut where the number goes."""
        body = self._template(row)
        length = len(body.replace("#", str(FIRST_CHECKED)).encode())
        head = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {host.removeprefix('http://')}",
            "Content-Type: application/json",
            *self.headers,
            f"Content-Length: {length}",
        ]
        return ("\r\n".join(head) + "\r\n\r\n" + body).split("#")

    def _template(self, row: Row) -> str:
        features = json.dumps({**row, "amount": "#"}, separators=(",", ":"))
        features = features.replace('"#"', f"{int(row['amount'])}.#")
        return self.opening + (json.dumps(features) if self.as_text else features) + self.closing


ROUTER: Final = Ask("/predict/credit", '{"user_id":"u-#","features":', "}")
DIRECT: Final = Ask("/predict", '{"instances":[', "]}")


def read_rows(path: Path) -> list[Row]:
    """The features of the held-out applications."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["features"] for line in lines]


def applicant(row: Row, number: int) -> dict[str, Any]:
    """The features that `Ask.body` renders for this number."""
    return {**row, "amount": float(f"{int(row['amount'])}.{number}")}


class Numbers:
    """Keeps count of the numbers that have been sent, so that no two runs send the same applicant."""

    def __init__(self) -> None:
        self.next = FIRST_DISTINCT

    def sent(self, count: int) -> None:
        """The next `count` numbers are used up. Raises OverflowError after some eight million."""
        self.next += count
        if self.next > LAST_DISTINCT:
            raise OverflowError("all numbers of seven digits have been sent")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of requests that wrk sends: the rendered data, and whether applicants come again."""

    data: Path
    repeats: bool


def write_distinct(ask: Ask, rows: Sequence[Row], host: str, path: Path) -> Stream:
    """Render the stream in which every request is another applicant."""
    lines = (",".join(map(_quote, ask.pieces(row, host))) for row in rows)
    path.write_text("return {" + ",\n".join("{" + line + "}" for line in lines) + "}\n", encoding="utf-8")
    return Stream(path, repeats=False)


def write_repeats(ask: Ask, rows: Sequence[Row], host: str, path: Path, seed: int = 17) -> Stream:
    """Render the stream that draws from 1,000 applicants, the one of rank r with a weight of 1/r (Zipf)."""
    requests = (
        str(number).join(ask.pieces(rows[place % len(rows)], host))
        for place, number in enumerate(range(FIRST_REPEATED, FIRST_REPEATED + POPULATION))
    )
    weights = [1 / rank for rank in range(1, POPULATION + 1)]
    draws = random.Random(seed).choices(range(1, POPULATION + 1), weights, k=DRAWS)  # noqa: S311
    path.write_text(
        "return {requests={" + ",\n".join(map(_quote, requests)) + "},\ndraws={"
        + ",".join(map(str, draws)) + "}}\n",
        encoding="utf-8",
    )  # fmt: skip
    return Stream(path, repeats=True)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
    return f'"{escaped}"'
