"""A short selection of `make attacks`: what needs no machine of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs.attacks import outcomes, web
from tests.proofs.attacks.installation import Installation

# Longer than in `make attacks`: beside other work two cores can take a second for what is no fault at all.
TIMEOUT_MS = 4000


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Real processes, without a controller."""
    with Installation(TIMEOUT_MS, with_controller=False) as installation:
        yield installation


def test_a_page_of_another_origin_changes_nothing(installation: Installation) -> None:
    found = web.from_another_page(installation)
    assert found.held, found.seen


def test_trailers_are_no_headers(installation: Installation) -> None:
    found = web.names_in_a_trailer(installation)
    assert found.held, found.seen


def test_a_page_of_another_origin_reads_nothing(installation: Installation) -> None:
    found = web.no_foreign_page_reads(installation)
    assert found.held, found.seen


def test_prediction_ids_cannot_be_guessed(installation: Installation) -> None:
    found = outcomes.guessed_ids(installation)
    assert found.held, found.seen
