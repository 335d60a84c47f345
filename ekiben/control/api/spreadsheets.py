"""Tidy rows as CSV (RFC 4180): what spreadsheets, R and pandas read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response


def csv_response(rows: Sequence[Mapping[str, Any]]) -> Response:
    """The rows under a line of their columns' names. All rows have the same ones; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return Response(text.getvalue(), media_type="text/csv")
