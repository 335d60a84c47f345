"""From what the desk knows to HTML: pages, and the fragments they are made of.

A fragment is a part of a page that is replaced when its HTML has changed. Its digest tells: the browser holds
the digests of what it shows, and fetches those fragments that have another one now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ekiben.control.dashboard import formatting, words
from ekiben.control.dashboard.shadows import histograms
from ekiben.experiments.changes.differences import lines_about
from ekiben.experiments.judging.differing import differing_lines
from ekiben.experiments.judging.paired import otherwise_words, paired_words, unseen_words
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.kinds.table import kind_of

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a page, and a digest of it."""

    html: Markup
    digest: str


def _assets() -> dict[str, str]:
    """Each static file's path with its digest, so that a browser keeps it until it changes."""
    root = HERE / "static"
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


class Renderer:
    """The templates of this folder. Everything that a template writes is escaped unless it is Markup."""

    def __init__(self) -> None:
        self._assets = _assets()
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            f=formatting,
            words=words,
            asset=self._asset,
            differing_lines=differing_lines,
            histograms=histograms,
            lines_about=lines_about,
            kind_of=kind_of,
            LabelMeasure=LabelMeasure,
            paired_words=paired_words,
            unseen_words=unseen_words,
            otherwise_words=otherwise_words,
        )

    def page(self, template: str, /, **context: Any) -> str:
        """A whole page."""
        return self._environment.get_template(template).render(**context)

    def fragments(self, names: tuple[str, ...], context: Mapping[str, Any]) -> dict[str, Fragment]:
        """The fragments of these names, each from `fragments/{name}.html`."""
        found = {}
        for name in names:
            html = self._environment.get_template(f"fragments/{name}.html").render(**context)
            digest = hashlib.sha256(html.encode()).hexdigest()[:16]
            found[name] = Fragment(Markup(html), digest)  # noqa: S704 - a template made it, with escaping
        return found

    def _asset(self, path: str) -> str:
        return f"/static/{path}?v={self._assets[path]}"
