"""Services of every kind of feature, to be served by BentoML: `bentoml serve …shop:ShopV1`."""

from __future__ import annotations

from ekiben.serving.bento import version
from ekiben.serving.features import Features, number, numbers, tensor, text
from ekiben.serving.output import classes_output, value_output


class Everything(Features):
    """What `graphs.everything` takes."""

    visits: list[float] = numbers(0, 100, "visits", "")
    stars: float | None = number(1, 5, "stars", "", missing=True)
    photo: list[list[float]] = tensor((2, 3), 0, 1, "share", "")
    words: str | None = text("", missing=True)


class Photo(Features):
    """The largest there may be."""

    photo: list[list[float]] = tensor((256, 256), 0, 1, "share", "")


ShopV1 = version("shop_v1", Everything, classes_output(["fan", "seen", "said"]))
PhotosV1 = version("photos_v1", Photo, value_output("white"))
OthersV1 = version("others_v1", Everything, classes_output(["fan", "said", "seen"]))
