"""Ordinary BentoML services, written as BentoML's quickstart writes them: nothing here knows of Ekiben.

bentoml serve loadtests.bench.ordinary.services:OneRow
"""

import math

import bentoml
from pydantic import BaseModel

WORDS = {"good": 1.2, "great": 2.0, "love": 1.7, "fine": 0.4, "bad": -1.4, "awful": -2.2, "slow": -0.6}


class Sentiment(BaseModel):
    label: str
    positive: float


def judge(text: str) -> Sentiment:
    odds = sum(WORDS.get(word, 0.0) for word in text.lower().split())
    positive = 1 / (1 + math.exp(-odds))
    return Sentiment(label="positive" if positive >= 0.5 else "negative", positive=positive)


@bentoml.service(name="sentiment_list", logging={"access": {"enabled": False}})
class ListOfRows:
    @bentoml.api
    def classify(self, texts: list[str]) -> list[Sentiment]:
        return [judge(text) for text in texts]


@bentoml.service(name="sentiment_batchable", logging={"access": {"enabled": False}})
class Batchable:
    @bentoml.api(batchable=True)
    def classify(self, texts: list[str]) -> list[Sentiment]:
        return [judge(text) for text in texts]


@bentoml.service(name="sentiment_one", logging={"access": {"enabled": False}})
class OneRow:
    @bentoml.api
    def classify(self, text: str) -> Sentiment:
        return judge(text)
