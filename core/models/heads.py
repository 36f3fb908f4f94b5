"""Heads of our own on an encoder: linear or two-layer, over the first token, the mean of all, or both.

transformers' own classes fix head and pooling for each architecture; where a run asks for others, the body is theirs
and the head stands here. The folder of such a model holds the body under the architecture's usual names, so that
AutoModel loads it, and the head's weights as `head.*` in the same file. Worker only: imports torch and transformers.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from core.schema import Head, Pooling


class EncoderWithHead(PreTrainedModel):
    """An encoder and a head on its pooled states.

    `body` becomes an attribute named as in transformers' classes of the architecture (`bert`, `distilbert`, `model`).
    """

    config_class = PreTrainedConfig
    supports_gradient_checkpointing = True
    # The body has chosen its kind of attention already.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, body: PreTrainedModel, head: Head, pooling: Pooling, size: int, dropout: float) -> None:
        super().__init__(body.config)
        self.base_model_prefix = body.base_model_prefix
        if "pooler" in dict(body.named_children()):
            # Pooling is done here; theirs would be trained by no one and counted all the same.
            setattr(body, "pooler", None)  # noqa: B010  a module gives way to nothing, which their forward passes allow
        setattr(self, body.base_model_prefix, body)
        self.pooling = pooling
        width = body.config.hidden_size * (2 if pooling == "both" else 1)
        classes = body.config.num_labels
        assert classes is not None
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if head == "two-layer":
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.head = nn.Sequential(*layers, nn.Linear(width, classes))
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                begin_anew(layer)
        self.post_init()

    def initialize_weights(self, *_args: Any, **_kwargs: Any) -> None:
        """The body's weights were loaded, and the head's are drawn above."""

    def get_input_embeddings(self) -> nn.Module:
        body: Any = self.base_model
        table: nn.Module = body.get_input_embeddings()
        return table

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **_unused: Any,
    ) -> SequenceClassifierOutput:
        """input_ids, attention_mask: int64 [batch, length]; logits: [batch, classes]."""
        body: Any = self.base_model
        outputs = body(input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds)
        pooled = pool(outputs.last_hidden_state, attention_mask, self.pooling)
        return SequenceClassifierOutput(logits=self.head(pooled))


def begin_anew(layer: nn.Linear) -> None:
    """As BERT's own heads begin."""
    nn.init.normal_(layer.weight, std=0.02)
    if isinstance(layer.bias, nn.Parameter):
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def start_from_shares(output: nn.Module, shares: npt.NDArray[np.float64]) -> None:
    """Begin with each class as likely as it is common, where a row may have several: the bias of the layer that gives
    the logits becomes the log-odds of `shares`, [classes], between 0 and 1.

    From one half each, a step's learning rate bounds how fast all the rare classes are unlearned, and a short run does
    nothing else (Lin et al. 2017, arXiv 1708.02002, section 3.3). A layer without a bias stays as it is.
    """
    if isinstance(output.bias, nn.Parameter):
        output.bias.copy_(torch.logit(torch.from_numpy(shares)))


def pool(states: torch.Tensor, attention_mask: torch.Tensor | None, pooling: Pooling) -> torch.Tensor:
    """From states [batch, length, hidden] to [batch, hidden], or twice that width for `both`; padding is left out."""
    first = states[:, 0]
    if pooling == "first":
        return first
    if attention_mask is None:
        mean = states.mean(dim=1)
    else:
        mask = attention_mask[..., None].to(states.dtype)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return mean if pooling == "mean" else torch.cat([first, mean], dim=-1)


def load_with_head(folder: Path, head: Head, pooling: Pooling, size: int) -> EncoderWithHead:
    """A model that `save_with_head` wrote, without dropout in its head.

    Raises OSError where a file is absent, ValueError where a weight is.
    """
    # In float32 whatever the file holds, as all encoders here: a merged one is in 16 bits.
    body = AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    model = EncoderWithHead(body, head, pooling, size, 0.0)
    found = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if found.missing_keys:
        raise ValueError(f"{folder} lacks the weights {', '.join(found.missing_keys[:3])}")
    return model


def save_with_head(model: EncoderWithHead, folder: Path) -> None:
    """Write config and weights; config.json names the body's class, which is what plain transformers loads."""
    model.save_pretrained(folder, max_shard_size="1TB")
    body: Any = model.base_model
    config = body.config
    config.architectures = [type(body).__name__]
    config.save_pretrained(folder)
