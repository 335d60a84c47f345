"""`make docs`: writes what follows from the document's types, every key of it.

docs/experiments.schema.json is the JSON Schema for editors. docs/experiments-file.md has the same as tables,
between its two markers. Types, ranges, defaults and descriptions are those of `ekiben.experiments.document`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ekiben.experiments.schema import experiments_schema

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "experiments-file.md"
SCHEMA: Final = DOCS / "experiments.schema.json"
_BEGIN, _END = "<!-- keys:begin -->\n", "<!-- keys:end -->"
_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "hours": "hours", "days": "days"}
# What a mapping's own keys are called in paths.
_KEYS: Final = {"experiments": "KEY"}


def written() -> dict[Path, str]:
    """Each file → what belongs into it."""
    schema = experiments_schema()
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    tables = "\n".join(section(path, part, schema) for path, part in parts("", schema, schema))
    return {
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        PAGE: f"{before}{_BEGIN}{tables}{_END}{after}",
    }


def parts(path: str, part: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The part at `path` and all parts below it, with the path of each."""
    yield path, part
    for key, field in part["properties"].items():
        below = f"{path}.{key}" if path else key
        inner = bare(field, schema)
        if "items" in inner:
            below, inner = f"{below}[]", bare(inner["items"], schema)
        elif isinstance(inner.get("additionalProperties"), dict):
            below, inner = f"{below}.{_KEYS.get(key, 'NAME')}", bare(inner["additionalProperties"], schema)
        if "properties" in inner:
            yield from parts(below, inner, schema)


def bare(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A field's own schema: behind its reference, and without the null that it may be."""
    for option in field.get("anyOf", ()):
        if option.get("type") != "null":
            field = option
    return schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def section(path: str, part: dict[str, Any], schema: dict[str, Any]) -> str:
    """The table of one part, under its path."""
    lines = [f"## `{path}`" if path else "## The file", ""]
    lines += [part["description"].partition("\n\n")[0], ""]
    lines += ["| key | type | default | range | what it is |", "|---|---|---|---|---|"]
    for key, field in part["properties"].items():
        inner = bare(field, schema)
        default = "required" if key in part.get("required", ()) else default_of(field, inner)
        example = (
            f" Example: `{json.dumps(field['examples'][0], ensure_ascii=False)}`."
            if "examples" in field
            else ""
        )
        what = field["description"]
        cells = (
            f"`{key}`",
            type_of(key, inner, schema),
            default,
            range_of(inner),
            f"{what[0].upper()}{what[1:].removesuffix('.')}.{example}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def type_of(key: str, inner: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a value is, in words, with its unit."""
    if "enum" in inner:
        return ", ".join(f"`{each}`" for each in inner["enum"])
    if "oneOf" in inner:
        return " or ".join(type_of("", each, schema) for each in inner["oneOf"])
    if "items" in inner:
        return f"list of {plural(bare(inner['items'], schema))}"
    if isinstance(inner.get("additionalProperties"), dict):
        return f"name → {type_of('', bare(inner['additionalProperties'], schema), schema)}"
    if "properties" in inner:
        return "mapping"
    unit = inner.get("unit") or _UNITS.get(key.rpartition("_")[2] if "_" in key else "")
    return _TYPES[inner["type"]] + (f", {unit}" if unit else "")


def plural(item: dict[str, Any]) -> str:
    return "mappings" if "properties" in item else "text" if item["type"] == "string" else "numbers"


def default_of(field: dict[str, Any], inner: dict[str, Any]) -> str:
    """The default of a key that may be left out."""
    default = field.get("default")
    if default in (None, [], {}):
        return "none"
    return "as below" if "properties" in inner else f"`{default}`"


def range_of(inner: dict[str, Any]) -> str:
    """The least and the most that a value, a list's value or a text's length may be."""
    of = inner.get("items", inner)
    low = (
        f"≥ {of['minimum']:g}"
        if "minimum" in of
        else f"> {of['exclusiveMinimum']:g}"
        if "exclusiveMinimum" in of
        else ""
    )
    high = (
        f"≤ {of['maximum']:,}"
        if "maximum" in of
        else f"< {of['exclusiveMaximum']:g}"
        if "exclusiveMaximum" in of
        else ""
    )
    if "maxLength" in of:
        return f"{of.get('minLength', 0)} to {of['maxLength']} characters"
    return ", ".join(each for each in (low, high) if each)


def main() -> int:
    """Write both files."""
    for path, text in written().items():
        path.write_text(text)
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
