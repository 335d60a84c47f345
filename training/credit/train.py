"""The three versions of the model `credit`: `python -m training.credit.train [VERSION …]` publishes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ekiben.publishing import ModelCard, Published, publish_sklearn, publish_torch
from ekiben.serving.stored import sha256_of
from services.credit.net import NetModel, read_credit_net
from services.credit.schema import BREAK_EVEN, Applicant
from training.credit.data import CATEGORIES, CREDIT_CSV, NUMBERS, POSITIVE, TARGET, Split, split
from training.credit.net import train_net
from training.credit.profit import profit_per_applicant

MODEL: Final = "credit"
SCORECARD_FEATURES: Final = ("age", "income", "expenses", "amount", "price", "time")
SEED: Final = 2026


class UnknownVersion(Exception):
    """There is no such version of the model. The message is one line."""


def train_v1(cut: Split) -> Published:
    """The old scorecard: a logistic regression on six numbers."""
    columns = ColumnTransformer(
        [("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), SCORECARD_FEATURES)]
    )
    model = make_pipeline(columns, LogisticRegression())
    model.fit(cut.train[list(SCORECARD_FEATURES)], cut.train_bad)
    return _publish_pipeline("v1", model, cut)


def train_v2(cut: Split) -> Published:
    """Gradient boosting on all 13 features."""
    return _publish_pipeline("v2", _fitted_boosting(cut, cut.train_bad), cut)


def train_shuffled(cut: Split) -> Published:
    """Gradient boosting on shuffled labels: a version that has gone wrong, for the demo."""
    shuffled = np.random.default_rng(SEED).permutation(cut.train_bad)
    return _publish_pipeline("shuffled", _fitted_boosting(cut, shuffled), cut)


def _fitted_boosting(cut: Split, bad: NDArray[np.int64]) -> Pipeline:
    # With the empty string not among its categories the encoder gives missing and unknown alike: zeros.
    known = [sorted(set(cut.train[name]) - {""}) for name in CATEGORIES]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(strategy="median"), NUMBERS), ("categories", encoder, CATEGORIES)]
    )
    boosting = GradientBoostingClassifier(
        n_estimators=150,
        learning_rate=0.1,
        max_depth=3,
        subsample=0.7,
        min_samples_leaf=20,
        random_state=SEED,
    )
    model = make_pipeline(columns, boosting)
    model.fit(cut.train, bad)
    return model


def train_v3(cut: Split) -> Published:
    """A small torch network with embedded categories."""
    net = train_net(cut.train_rows, cut.train_bad)
    served = NetModel(net)
    return publish_torch(
        served,
        _card("v3", cut, served.scores(cut.held_out_rows)),
        (cut.held_out_rows, cut.held_out_bad),
        module=net,
        shape=net.shape,
        load=read_credit_net,
        quiet=True,
    )


VERSIONS: Final = ("v1", "v2", "v3")
_KNOWN: Final[Mapping[str, Callable[[Split], Published]]] = {
    "v1": train_v1,
    "v2": train_v2,
    "v3": train_v3,
    "shuffled": train_shuffled,  # only when asked for by name
}


def train(
    versions: Sequence[str] | None = None, progress: Callable[[str], None] | None = None
) -> list[Published]:
    """Train and publish these versions, or all sound ones, in order; `progress` is called with each first.

    Raises `UnknownVersion`, or `PublishingError`.
    """
    wanted = VERSIONS if versions is None else versions
    for version in wanted:
        if version not in _KNOWN:
            raise UnknownVersion(f"{MODEL} has no version {version}: there are {', '.join(_KNOWN)}")
    cut = split()
    published = []
    for version in wanted:
        if progress is not None:
            progress(version)
        published.append(_KNOWN[version](cut))
    return published


def _publish_pipeline(version: str, model: Pipeline, cut: Split) -> Published:
    scores = model.predict_proba(cut.held_out[list(model.feature_names_in_)])[:, 1]
    return publish_sklearn(model, _card(version, cut, scores), (cut.held_out, cut.held_out_bad), quiet=True)


def _card(version: str, cut: Split, scores: NDArray[np.float64]) -> ModelCard:
    amounts = cut.held_out["amount"].to_numpy()
    profit = profit_per_applicant(cut.held_out_bad, scores, amounts)
    return ModelCard(
        name=MODEL,
        version=version,
        features=Applicant,
        target=f"{TARGET} = {POSITIVE}",
        kind="classification",
        threshold=BREAK_EVEN,
        data_digest=sha256_of(CREDIT_CSV),
        more_metrics={"profit_per_applicant": profit},
        intended_use="whether to approve a loan: the example of this repository",
        limits="learnt from 4,454 applications to one bank",
    )


def main(versions: Sequence[str]) -> int:
    """Train these, all sound ones by default. Returns the exit code."""
    try:
        train(versions or None, lambda version: print(f"training {MODEL} {version}", flush=True))  # noqa: T201
    except UnknownVersion as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
