"""What a run's figures mean where the truth is a probability for each class: the verdict on the likeliest classes, and
whether the probabilities beside them say more than the mean of all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.evaluation.verdict import Comparison, Verdict, verdict


def soft_verdict(
    test: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Comparison]
) -> Verdict:
    """test, baselines (by name): soft_metrics of the test part; comparisons: on the likeliest classes.

    A model that says the mean distribution of everything has collapsed, even where its likeliest classes differ by a
    hair: then that comes first.
    """
    judged = verdict(test, baselines, comparisons)
    off = test["kl_divergence"]
    if "majority" in baselines and off >= baselines["majority"]["kl_divergence"]:
        mean = baselines["majority"]["kl_divergence"]
        first = (
            "The probabilities of this model say no more than the mean of all rows: they are "
            f"{off:.3f} nats off (KL divergence), the same mean for everyone {mean:.3f}."
        )
        return replace(judged, sentences=(first, *judged.sentences), tone="bad")
    others = [
        f"{words} {baselines[name]['kl_divergence']:.3f}"
        for name, words in (("tfidf", "TF-IDF's"), ("majority", "those of the mean for everyone"))
        if name in baselines
    ]
    beside = f"; {', '.join(others)}" if others else ""
    words = f"Its probabilities are {off:.3f} nats off on average (KL divergence, 0 is exact){beside}."
    if "tfidf" not in baselines or off < baselines["tfidf"]["kl_divergence"]:
        return replace(judged, sentences=(*judged.sentences, words))
    tone = "caution" if judged.tone == "good" else judged.tone
    return replace(judged, sentences=(*judged.sentences, f"{words} TF-IDF is nearer to the truth there."), tone=tone)
