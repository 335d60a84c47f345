"""Our numbers beside scipy's, scikit-learn's and tea-tasting's, on the same data."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import tea_tasting as tt
from scipy import special, stats
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from tea_tasting.aggr import Aggregates

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate, effect
from ekiben.experiments.statistics.label_quality import mean_roc_auc, roc_auc, wilson_interval
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import half_width, sequential_p_value
from ekiben.experiments.statistics.srm import CONCENTRATION, srm_p_value
from tests.proofs.statistics.labelled import (
    auc_sums,
    class_sums,
    delong_variance,
    loss_moments,
    simulate_classes,
)
from tests.proofs.statistics.populations import Floats

Difference = tuple[str, str, float]  # ours, beside what, the largest relative difference


def moments_of(x: Floats, y: Floats | None = None) -> Moments:
    y = np.zeros_like(x) if y is None else y
    sums = (x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())
    return Moments(len(x), *map(float, sums))


def aggregates(x: Floats, y: Floats) -> Aggregates:
    return Aggregates(
        len(x),
        {"x": float(x.mean()), "y": float(y.mean())},
        {"x": float(x.var(ddof=1)), "y": float(y.var(ddof=1))},
        {("x", "y"): float(np.cov(x, y)[0, 1])},
    )


def differences(seed: int) -> Iterator[Difference]:
    """Each comparison's largest relative difference."""
    rng = np.random.default_rng(seed)
    y = [rng.lognormal(1, 0.6, 3000), rng.lognormal(1, 0.6, 2000)]
    x = [3 * y[0] + rng.normal(0, 4, 3000), 3.2 * y[1] + rng.normal(0, 4, 2000)]
    ones = [(rng.random(3000) < 0.05).astype(float), (rng.random(2000) < 0.06).astype(float)]
    yield from _tea_tasting(x, y, ones)
    yield from _scipy(x, ones)
    yield from _labels(rng)


def _tea_tasting(x: list[Floats], y: list[Floats], ones: list[Floats]) -> Iterator[Difference]:
    ours = [moments_of(*pair) for pair in zip(x, y, strict=True)]
    shares = [moments_of(each) for each in ones]
    plain = [aggregates(*pair) for pair in zip(x, y, strict=True)]
    counted = [aggregates(*pair) for pair in zip(ones, y, strict=True)]
    options = {"use_t": False, "equal_var": False}
    cuped = effects.cuped(*ours)
    assert cuped is not None
    for name, (control, treatment), metric, data in (
        ("mean", map(effects.mean, ours), tt.Mean("x", **options), plain),
        ("proportion", map(effects.proportion, shares), tt.Mean("x", **options), counted),
        ("ratio, delta method", map(effects.ratio, ours), tt.RatioOfMeans("x", "y", **options), plain),
        ("mean with CUPED", cuped, tt.Mean("x", "y", **options), plain),
    ):
        assert control is not None
        assert treatment is not None
        theirs = metric.analyze_aggregates(*data)
        known = effect(control, treatment, 0.05)
        std_error = np.hypot(control.std_error, treatment.std_error)
        pairs = [
            (control.value, theirs.control),
            (treatment.value, theirs.treatment),
            (known.absolute, theirs.effect_size),
            (known.relative, theirs.rel_effect_size),
            (std_error, theirs.effect_size / theirs.statistic),
            (known.fixed_p_value, theirs.pvalue),
        ]
        yield f"{name}: values, effects, standard error, p", "tea-tasting", _largest(pairs)


def _scipy(x: list[Floats], ones: list[Floats]) -> Iterator[Difference]:
    welch = stats.ttest_ind(x[1], x[0], equal_var=False)
    control, treatment = (effects.mean(moments_of(each)) for each in x)
    assert control is not None
    assert treatment is not None
    ours = (treatment.value - control.value) / np.hypot(control.std_error, treatment.std_error)
    yield "mean: Welch's statistic", "scipy", _largest([(ours, welch.statistic)])

    prior = CONCENTRATION * np.array([0.5, 0.3, 0.2])
    pairs = []
    for counts in ([60, 20, 10], [5200, 2900, 1900], [515_000, 293_000, 192_000]):
        seen = np.array(counts)
        change = special.gammaln(prior + seen) - special.gammaln(prior) - seen * np.log([0.5, 0.3, 0.2])
        evidence = change.sum() + special.gammaln(prior.sum()) - special.gammaln(prior.sum() + seen.sum())
        pairs.append((np.log(srm_p_value(counts, (0.5, 0.3, 0.2))), min(0.0, -evidence)))
    yield "SRM: log of the p-value", "scipy", _largest(pairs)

    pairs = []
    for successes, trials in ((0, 10), (3, 40), (50, 100), (999, 1000)):
        theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        ours = wilson_interval(successes, trials, NormalDist().inv_cdf(0.975))
        pairs += [(ours.low, theirs.low), (ours.high, theirs.high)]
    yield "Wilson's interval", "scipy", _largest(pairs)

    pairs = [
        (sequential_p_value(half_width(2.5, users, alpha), 2.5, users), alpha)
        for users in (200, 5000, 1_000_000)
        for alpha in (0.2, 0.05, 0.001, 1e-9)
    ]
    yield "sequential p-value", "the interval it inverts", _largest(pairs)


def _labels(rng: np.random.Generator) -> Iterator[Difference]:
    labels = rng.random(2000) < 0.3
    scores = np.round(special.expit(rng.normal(0, 1, 2000) + labels), 2)  # rounded: ties
    user = np.arange(2000)
    area = roc_auc(auc_sums(scores, labels, user))
    assert area is not None
    yield "ROC AUC", "scikit-learn", _largest([(area.value, roc_auc_score(labels, scores))])
    variance = delong_variance(scores[labels], scores[~labels])
    yield "ROC AUC: DeLong's variance", "by pairs, in the test", _largest([(area.std_error**2, variance)])
    chances, truth, user_of = simulate_classes(rng, 1000)
    mean = mean_roc_auc(*class_sums(chances, truth, user_of))
    assert mean is not None
    theirs = roc_auc_score(truth, chances, multi_class="ovr", average="macro")
    yield "ROC AUC of three classes", "scikit-learn", _largest([(mean.value, theirs)])
    pairs = []
    for measure, theirs in (
        ("brier", brier_score_loss(labels, scores)),
        ("log_loss", log_loss(labels, np.clip(scores, 1e-15, 1 - 1e-15))),
        ("accuracy", accuracy_score(labels, scores >= 0.5)),
    ):
        ours: Estimate | None = effects.ratio(loss_moments(measure, scores, labels, user))
        assert ours is not None
        pairs.append((ours.value, theirs))
    yield "Brier, log loss, accuracy", "scikit-learn", _largest(pairs)


def _largest(pairs: list[tuple[float | None, float]]) -> float:
    """The largest difference; relative, absolute for values below 1e-6."""
    return max(abs(ours - theirs) / max(abs(theirs), 1e-6) for ours, theirs in pairs if ours is not None)
