"""An adapter as PEFT saved it, read to be added to its base's weights one tensor at a time. Heavy: imports torch, peft.

Plain LoRA (arXiv 2106.09685), with rank-stabilised scaling (arXiv 2312.03732), ranks of their own for some modules,
and modules that were trained whole. What else PEFT can do (DoRA, biases, replicated layers) is refused, not half done.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import safe_open

from core.errors import UserError

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_REFUSED = ("use_dora", "lora_bias", "layer_replication", "trainable_token_indices")


@dataclass(frozen=True)
class Adapter:
    """Of each module by its name in the model: what is added to its weight, and tensors that replace others."""

    low: dict[str, torch.Tensor]
    """lora_A: float32 [rank, in]."""
    high: dict[str, torch.Tensor]
    """lora_B: float32 [out, rank]."""
    scales: dict[str, float]
    whole: dict[str, torch.Tensor]
    """Tensors of modules that were trained whole, by their own name."""
    transposed: bool
    """Whether weights are [in, out], as GPT-2 has them."""

    def added(self, module: str) -> torch.Tensor:
        """What the module's weight gains: float32, of that weight's shape."""
        delta = (self.high[module] @ self.low[module]) * self.scales[module]
        return delta.T if self.transposed else delta


def read_adapter(folder: Path) -> Adapter:
    """Raises UserError where the adapter is of a kind that cannot be added to a weight."""
    config = LoraConfig.from_pretrained(str(folder))
    assert isinstance(config, LoraConfig)
    refused = [name for name in _REFUSED if vars(config).get(name)]
    low, high, whole = {}, {}, {}
    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118  no mapping, though it has keys
            name = key.removeprefix(_PREFIX)
            if name.endswith(_A):
                low[name.removesuffix(_A)] = file.get_tensor(key).float()
            elif name.endswith(_B):
                high[name.removesuffix(_B)] = file.get_tensor(key).float()
            elif ".lora_" in name:
                refused.append(name.rpartition(".lora_")[2])
            else:
                whole[name.replace(".modules_to_save", "").replace(".base_layer", "")] = file.get_tensor(key)
    if refused:
        raise UserError(
            f"The adapter has more than plain LoRA ({', '.join(sorted(set(refused))[:3])}), so it cannot be merged "
            "tensor by tensor.",
            str(folder),
            "Take it away as an adapter.",
        )
    return Adapter(low, high, {name: _scale(config, name) for name in low}, whole, bool(config.fan_in_fan_out))


def _scale(config: LoraConfig, module: str) -> float:
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(list(ranks), module), config.r)
    alpha = alphas.get(get_pattern_key(list(alphas), module), config.lora_alpha)
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)
