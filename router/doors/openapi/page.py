"""The API for people: one page made from the OpenAPI document, with nothing from another host."""

from __future__ import annotations

import json
from functools import reduce
from html import escape
from operator import getitem
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1b19; --soft: #5f5b55; --paper: #fdfcfa; --card: #f3f0ea;
  --line: #ddd7cd; --accent: #9a3412; --get: #1d5f8a; --post: #2f6b2f; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece8e1; --soft: #a9a298; --paper: #191816;
  --card: #23211e; --line: #3b3833; --accent: #f0955c; --get: #7db8de; --post: #8cc98c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; }
h4 { margin: 1rem 0 .25rem; font-size: .85rem; color: var(--soft); font-weight: 600; }
p { margin: .25rem 0 .75rem; } a { color: var(--accent); }
code, pre { font: .88em/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; margin: .25rem 0; padding: .75rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: .4rem; overflow-wrap: normal; }
details { margin: .5rem 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
details > div { padding: 0 1rem 1rem; }
summary { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline; padding: .6rem 1rem;
  cursor: pointer; } summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary span { color: var(--soft); } summary::after { content: "+"; margin-left: auto; color: var(--soft); }
details[open] > summary::after { content: "\\2212"; }
summary b { min-width: 3rem; color: var(--get); } summary b.post { color: var(--post); }
table { width: 100%; border-collapse: collapse; } th, td { padding: .35rem .5rem .35rem 0; text-align: left;
  vertical-align: top; border-top: 1px solid var(--line); } th { white-space: nowrap; font-weight: 600; }
@media (max-width: 34rem) { th, td { display: block; padding: .2rem 0; } td { border-top: 0; } }
"""


def docs_page(document: dict[str, Any]) -> bytes:
    """The page of a document, in HTML. It needs no script, reads in light and dark, and fits a phone."""
    info = document["info"]
    sections = "".join(_section(document, tag) for tag in document["tags"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escape(info['title'])}</h1><p>{escape(info['summary'])}. Version "
        f'{escape(info["version"])}. <a href="openapi.json">OpenAPI document</a></p>'
        f"<p>{_inline(info['description'])}</p></header><main>{sections}"
        f'<section><h2 id="problems">Problems</h2>{_problems(document)}</section></main></body></html>'
    ).encode()


def _section(document: dict[str, Any], tag: dict[str, str]) -> str:
    operations = "".join(
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    about = f"<p>{_inline(tag['description'])}</p>" if "description" in tag else ""
    return f"<section><h2>{escape(tag['name'])}</h2>{about}{operations}</section>"


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    about = f"<p>{_inline(operation['description'])}</p>" if "description" in operation else ""
    body = operation.get("requestBody")
    sent = ""
    if body is not None:
        sent = f"<h4>Body</h4><p>{_inline(body['description'])}</p>{_media(document, body['content'])}"
    parameters = "".join(_row(_parameter_name(each), each["description"]) for each in operation["parameters"])
    good = min(operation["responses"])  # 200, or 202
    ok = operation["responses"][good]
    others = "".join(
        _row(status, _resolved(document, response)["description"])
        for status, response in sorted(operation["responses"].items())
        if status != good
    )
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b class="{method}">{method.upper()}</b> '
        f"<code>{escape(path)}</code> <span>{_inline(operation['summary'])}</span></summary><div>{about}"
        f"<h4>Parameters</h4><table>{parameters}</table>{sent}"
        f"<h4>{good}: {_inline(ok['description'])}</h4>{_media(document, ok['content'])}"
        f"<h4>Otherwise</h4><table>{others}</table></div></details>"
    )


def _media(document: dict[str, Any], content: dict[str, Any]) -> str:
    """The fields and the example of a body."""
    shown = ""
    for media_type, media in content.items():
        schema = _resolved(document, media["schema"])
        fields = "".join(
            _row(
                name if name in schema.get("required", ()) else f"{name}, optional",
                _resolved(document, field).get("description", ""),
            )
            for name, field in schema.get("properties", {}).items()
        )
        shown += f"<p><code>{escape(media_type)}</code></p>"
        shown += f"<table>{fields}</table>" if fields else ""
        shown += _example(media["example"]) if "example" in media else ""
    return shown


def _problems(document: dict[str, Any]) -> str:
    (media,) = document["components"]["responses"]["400"]["content"].values()
    (example,) = (each["value"] for each in media["examples"].values())
    rows = "".join(
        _row(status, response["description"])
        for status, response in document["components"]["responses"].items()
    )
    about = _inline("Every error is `application/problem+json` (RFC 9457) and names the request.")
    return f"<p>{about}</p><table>{rows}</table>{_example(example)}"


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = document
    return reduce(getitem, part["$ref"].removeprefix("#/").split("/"), found)


def _parameter_name(parameter: dict[str, Any]) -> str:
    optional = "" if parameter.get("required") else ", optional"
    return f"{parameter['name']} ({parameter['in']}{optional})"


def _row(name: str, description: str) -> str:
    return f"<tr><th><code>{escape(name)}</code></th><td>{_inline(description)}</td></tr>"


def _example(example: Any) -> str:
    return f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>"


def _inline(text: str) -> str:
    """Text with `code` in it."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
