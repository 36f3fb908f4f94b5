"""NeoBERT ("NeoBERT: A Next-Generation BERT", arXiv 2502.19587), so that its checkpoints need no remote code and no
xformers. Worker only: imports torch and transformers.

Importing this file makes `chandar-lab/NeoBERT` known to transformers' Auto classes. Parameter names are those of the
published checkpoint. Attention is PyTorch's own; texts of up to 4,096 tokens. The MLM head (`decoder`) is not built:
its weights are left out on loading. The file imports nothing of this project, since it travels with exported models.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

ROTARY_THETA = 10_000.0
MULTIPLE_OF = 8
"""The width of the feed-forward layer is rounded up to a multiple of this."""


class NeoBERTConfig(PreTrainedConfig):
    """The fields of the published config.json; `max_length` there is the longest text in tokens."""

    model_type = "neobert"

    hidden_size: int = 768
    num_hidden_layers: int = 28
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    vocab_size: int = 30522
    pad_token_id: int = 0
    norm_eps: float = 1e-5
    max_position_embeddings: int = 4096
    embedding_init_range: float = 0.02
    decoder_init_range: float = 0.02
    classifier_init_range: float = 0.02
    classifier_dropout: float = 0.1

    @property
    def feed_forward_size(self) -> int:
        """SwiGLU has three matrices where an ordinary layer has two, so each is two thirds as wide."""
        width = int(2 * self.intermediate_size / 3)
        return -(-width // MULTIPLE_OF) * MULTIPLE_OF


def rotary_table(positions: int, head_size: int, device: torch.device) -> torch.Tensor:
    """cos + i sin of position * theta^(-2 pair / head_size): complex64 [positions, head_size / 2]."""
    pairs = torch.arange(0, head_size, 2, device=device, dtype=torch.float32)
    angles = torch.outer(
        torch.arange(positions, device=device, dtype=torch.float32), ROTARY_THETA ** (-pairs / head_size)
    )
    return torch.polar(torch.ones_like(angles), angles)


def rotated(vectors: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Turn neighbouring dimensions (0, 1), (2, 3) ... of [batch, length, heads, head_size] by their position's angle.

    In float32, then back to the vectors' own format.
    """
    pairs = torch.view_as_complex(vectors.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table[None, :, None]).flatten(-2).to(vectors.dtype)


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype) * self.weight


class SwiGLU(nn.Module):
    def __init__(self, config: NeoBERTConfig) -> None:
        super().__init__()
        self.w12 = nn.Linear(config.hidden_size, 2 * config.feed_forward_size, bias=False)
        self.w3 = nn.Linear(config.feed_forward_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(functional.silu(gate) * value)


class NeoBERTLayer(nn.Module):
    """Pre-norm: x + wo(attention(attention_norm(x))), then x + ffn(ffn_norm(x))."""

    def __init__(self, config: NeoBERTConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.wo = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.ffn = SwiGLU(config)
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.ffn_norm = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, table: torch.Tensor) -> torch.Tensor:
        """x: [batch, length, hidden]; mask: bool [batch, 1, 1, length], True where a token may be seen."""
        x = x + self.wo(self._attention(self.attention_norm(x), mask, table))
        return x + self.ffn(self.ffn_norm(x))

    def _attention(self, x: torch.Tensor, mask: torch.Tensor | None, table: torch.Tensor) -> torch.Tensor:
        # For each head its query, key and value lie together, not all queries first.
        query, key, value = self.qkv(x).unflatten(-1, (self.heads, -1)).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(
            rotated(query, table).transpose(1, 2),
            rotated(key, table).transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
        )
        return attended.transpose(1, 2).flatten(-2)


class NeoBERTPreTrainedModel(PreTrainedModel):
    config_class = NeoBERTConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["NeoBERTLayer"]  # noqa: RUF012  transformers' own form
    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^model\.decoder\."]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Uniform over the checkpoint's ranges for the body, normal for a new head; loaded weights stay as they are."""
        if isinstance(module, nn.Embedding):
            reach = self.config.embedding_init_range
            init.uniform_(module.weight, -reach, reach)
        elif isinstance(module, nn.Linear) and module.bias is None:
            reach = self.config.decoder_init_range
            init.uniform_(module.weight, -reach, reach)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=self.config.classifier_init_range)
            init.zeros_(module.bias)
        elif isinstance(module, RMSNorm):
            init.ones_(module.weight)


class NeoBERT(NeoBERTPreTrainedModel):
    """The body: [batch, length] token ids to [batch, length, hidden]."""

    def __init__(self, config: NeoBERTConfig) -> None:
        super().__init__(config)
        self.encoder = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.transformer_encoder = nn.ModuleList(NeoBERTLayer(config) for _ in range(config.num_hidden_layers))
        self.layer_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder = value  # type: ignore[assignment]

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_unused: Any
    ) -> BaseModelOutput:
        """input_ids, attention_mask: int64 [batch, length]; last_hidden_state: [batch, length, hidden]."""
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None]
        head_size = self.config.hidden_size // self.config.num_attention_heads
        # Made anew in every pass: a table kept in a buffer is not initialised where weights are loaded lazily.
        table = rotary_table(input_ids.shape[1], head_size, input_ids.device)
        x = self.encoder(input_ids)
        for layer in self.transformer_encoder:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x, mask, table)
            else:
                x = layer(x, mask, table)
        return BaseModelOutput(last_hidden_state=self.layer_norm(x))


class NeoBERTForSequenceClassification(NeoBERTPreTrainedModel):
    """The first token's state, dropout, dense, tanh, dropout, classifier."""

    def __init__(self, config: NeoBERTConfig) -> None:
        super().__init__(config)
        self.model = NeoBERT(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        assert config.num_labels is not None
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **_unused: Any,
    ) -> SequenceClassifierOutput:
        """labels: int64 [batch], or float32 [batch, labels] of probabilities, and where config.problem_type says that a
        row may have several, of 1 and 0; logits: [batch, labels]."""
        first = self.model(input_ids, attention_mask).last_hidden_state[:, 0]
        logits = self.classifier(self.dropout(torch.tanh(self.dense(self.dropout(first)))))
        several = self.config.problem_type == "multi_label_classification"
        criterion = functional.binary_cross_entropy_with_logits if several else functional.cross_entropy
        loss = None if labels is None else criterion(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]


def write_source(folder: Path) -> None:
    """Put this file beside the saved weights, and name it in their config.json.

    So whoever has transformers alone can load the folder too, if they trust its code (trust_remote_code=True).
    """
    shutil.copyfile(__file__, folder / Path(__file__).name)
    file = folder / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    module = Path(__file__).stem
    content["auto_map"] = {
        "AutoConfig": f"{module}.{NeoBERTConfig.__name__}",
        "AutoModel": f"{module}.{NeoBERT.__name__}",
        "AutoModelForSequenceClassification": f"{module}.{NeoBERTForSequenceClassification.__name__}",
    }
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


AutoConfig.register(NeoBERTConfig.model_type, NeoBERTConfig, exist_ok=True)
AutoModel.register(NeoBERTConfig, NeoBERT, exist_ok=True)
AutoModelForSequenceClassification.register(NeoBERTConfig, NeoBERTForSequenceClassification, exist_ok=True)
