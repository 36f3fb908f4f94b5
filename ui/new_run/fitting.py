"""Which settings mean something for a model's family, its method, and what it is trained to do."""

from typing import Any

import gradio as gr

from core.schema import ADAPTER_METHODS, FAMILY_METHODS, FOUR_BIT_METHODS
from ui.forms import choice_words
from ui.new_run.draft import SETTINGS, Draft

METHOD = "model.method"
ONLY_WITH: dict[str, tuple[str, ...]] = {
    "model.frozen_layers": ("freeze",),
    "model.choose_frozen_layers": ("freeze",),
    **dict.fromkeys(("model.head", "model.head_size", "model.pooling", "training.layer_decay"), ("encoder",)),
    **{key: ("classify",) for key in SETTINGS if key.startswith(("training.focal", "training.contrastive"))},
    **{key: ("freeze", "head") for key in SETTINGS if key.startswith(("training.prefix_cache", "training.cache"))},
    "training.gradual_unfreezing": ("full", "freeze"),
    "training.loss": ("classify",),
    "training.batch_tokens": ("classify",),
    "model.double_quantization": FOUR_BIT_METHODS,
    **{key: ADAPTER_METHODS for key in SETTINGS if key.startswith("model.lora.")},
    "model.lora.train_embeddings": ("answer", "chat"),
    "model.embeddings_on_cpu": ("freeze", "head", *ADAPTER_METHODS),
    "model.classifier_dropout": ("classify",),
    "model.attention_dropout": ("encoder",),
    "training.head_learning_rate_factor": ("classify",),
    "training.label_smoothing": ("classify",),
    "training.class_weights": ("classify",),
    "training.optimizer": ("causal",),
    "evaluation.untuned": ("answer", "chat"),
    "evaluation.generated_rows": ("answer",),
}
"""Setting -> the families, methods and tasks for which it means something; for any one of them it is shown."""


def has_meaning(draft: Draft, key: str) -> bool:
    words = {draft.get("model.family"), draft.get(METHOD), draft.task}
    return bool(words & set(ONLY_WITH.get(key, words)))


def method_choices(draft: Draft) -> Any:
    """An update for the radio of methods: those of the model's family, explained."""
    methods = FAMILY_METHODS[draft.get("model.family")]
    # The schema explains each method in a sentence that begins with its name.
    first, *sentences = SETTINGS[METHOD].description.removesuffix(".").split(". ")
    explained = [sentence for sentence in sentences if sentence.split(":")[0] in methods]
    return gr.update(
        choices=[(choice_words(method), method) for method in methods],
        value=draft.get(METHOD),
        info=". ".join([first, *explained]) + ".",
    )
