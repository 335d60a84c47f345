"""The prose of README and docs is plain: short sentences, and one word for each thing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.prose import CODE_BLOCK, MOST, PAGES, ROOT, count, plain_text

WORDS = ROOT / "docs" / "words.md"
AVOIDED = sorted(
    {
        " ".join(word.split())
        for found in re.findall(r"\*Not:\*([^.]+)\.", WORDS.read_text())
        for word in found.split(",")
    },
    key=str.casefold,
)


def names(pages: tuple[Path, ...]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_a_page_has_few_colons_and_semicolons(page: Path) -> None:
    sentences, joints = count(page.read_text())
    assert joints < MOST * max(sentences, 1), f"{joints} in {sentences} sentences"


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("One thought. Another one.", (2, 0)),
        ("One thought: another; a third.", (1, 2)),
        ("It is at 10:30, see https://a.b/c: `a: b; c`.", (1, 0)),
        ("# A head: one\n\n| a: b; | c: d |\n\n```\na: b;\n```\n", (0, 0)),
        ("A list:\n\n- one item\n- another; it goes on\n  here.\n", (3, 2)),
        ("Something (e.g. this). *Means:* more.", (2, 1)),
    ],
)
def test_only_prose_is_counted(text: str, counted: tuple[int, int]) -> None:
    assert count(text) == counted


def test_there_are_words_to_avoid() -> None:
    assert {"champion", "uplift", "mend"} <= set(AVOIDED)


@pytest.mark.parametrize("word", AVOIDED)
def test_a_word_that_has_a_better_one_is_not_used(word: str) -> None:
    found = re.compile(rf"\b{re.escape(word)}s?\b", re.IGNORECASE)
    used = [
        f"{page.relative_to(ROOT)}: {line.strip()}"
        for page in PAGES
        if page != WORDS
        for line in plain_text(page.read_text()).splitlines()
        if found.search(line)
    ]
    assert used == []


def test_the_readme_fits_on_a_screen_or_two() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 90
    assert [line for line in lines if len(line) > 100] == []


def test_every_block_is_closed() -> None:
    for page in PAGES:
        assert "```" not in CODE_BLOCK.sub("", page.read_text()), page
