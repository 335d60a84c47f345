"""Rows that a model takes, made up from what it says of its features."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import ModuleType
from typing import Any, Final

from ekiben.terminal.errors import EkibenError

Chance = Random | ModuleType
"""What draws: `random` itself, or a `Random` with a seed."""

# A range that somebody has described; others are of any size, and most of it is never seen.
_WIDEST: Final = 1e7
_USUAL: Final = 100.0
_MISSING: Final = 0.05
_LONGEST: Final = 16
_WORDS: Final = ("and", "bad", "box", "fast", "good", "late", "new", "not", "price", "slow", "the", "very")


class NoFeatures(EkibenError):
    """No version of a model says what its features are."""


def features_of(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of a model's features, from the router's page `/models/{model}`.

    Raises `NoFeatures` where no version tells it.
    """
    for version in described["versions"].values():
        features = (version.get("info") or {}).get("features")
        if isinstance(features, dict) and isinstance(features.get("properties"), dict):
            return features
    raise NoFeatures("no version of it says what its features are")


def made_up(features: Mapping[str, Any], chance: Chance) -> dict[str, Any]:
    """A row for that JSON Schema: numbers of their ranges, texts of a few words, now and then nothing where
    that is allowed.
    """
    return {name: _value(its, chance) for name, its in features["properties"].items()}


def _value(schema: Mapping[str, Any], chance: Chance) -> Any:
    ways = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if ways:
        if len(ways) < len(schema["anyOf"]) and chance.random() < _MISSING:
            return None
        return _value({**schema, **ways[0], "anyOf": ()}, chance)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "array":
            least = schema.get("minItems", 1)
            length = chance.randint(least, max(least, min(schema.get("maxItems", _LONGEST), _LONGEST)))
            return [_value(schema.get("items", {"type": "number"}), chance) for _ in range(length)]
        case "string":
            count = chance.randint(3, 12) if schema.get("kind") == "text" else 1
            return " ".join(chance.choice(_WORDS) for _ in range(count))
        case "boolean":
            return chance.random() < 0.5
        case _:
            low, high = float(schema.get("minimum", -_USUAL)), float(schema.get("maximum", _USUAL))
            if high - low > _WIDEST:
                low, high = max(low, -_USUAL), min(high, _USUAL) if low < _USUAL else low + _USUAL
            return round(chance.uniform(low, high), 3) if high - low > 0.01 else low
