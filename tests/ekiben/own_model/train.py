"""Trains and publishes `reviews`: `python training/reviews/train.py [VERSION …]`."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the project, wherever this is run from

from ekiben.publishing import ModelCard, publish_sklearn  # noqa: E402
from services.reviews.schema import ReviewsFeatures  # noqa: E402

DATA = ROOT / "training" / "reviews" / "data.csv"
if not DATA.is_file():
    sys.exit(f"{DATA} is missing: put a file with the columns review, target there")
data = pd.read_csv(DATA)
rows, target = data[["review"]], data["target"]
train_rows, held_rows, train_target, held_target = train_test_split(rows, target, random_state=1)


def publish(version: str, model: Pipeline) -> None:
    """Fit the model, and publish it as this version."""
    card = ModelCard(
        name="reviews",
        version=version,
        features=ReviewsFeatures,
        target="how the customer liked it",
        kind="multiclass",
    )
    model.fit(train_rows["review"], train_target)
    publish_sklearn(model, card, (held_rows, held_target))


def v1() -> None:
    """The first version."""
    publish("v1", make_pipeline(TfidfVectorizer(), LogisticRegression()))


def v2() -> None:
    """Pairs of words count, too."""
    publish("v2", make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)))


VERSIONS = {"v1": v1, "v2": v2}

if __name__ == "__main__":
    for name in sys.argv[1:] or VERSIONS:
        if name not in VERSIONS:
            sys.exit(f"reviews has no version {name}: there are {', '.join(VERSIONS)}")
        VERSIONS[name]()
