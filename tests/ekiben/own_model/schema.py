"""The model `reviews`: what every version of it is asked, and what it answers."""

from __future__ import annotations

from typing import Final

from ekiben.serving.features import Features, text
from ekiben.serving.output import classes_output


class ReviewsFeatures(Features):
    """What a customer wrote of an order."""

    review: str = text("what the customer wrote", max_bytes=4_000)


OUTPUT: Final = classes_output(["negative", "neutral", "positive"])
