"""What a pass through a model keeps for the way back, and what it needs meanwhile: bytes, from sizes alone. Light.

Read from transformers' modelling code, PEFT's LoRA layers, bitsandbytes' 4-bit product and core.models.neobert, tensor
by tensor; held in tests/unit/test_activations.py to what autograd keeps of small models on a processor. A kept tensor
counts once however many operations keep it, and parameters are not counted.

Limits: attention is PyTorch's own (scaled_dot_product_attention), a batch is padded, so that there is a mask. Unsloth
is read from its source (unsloth/kernels, unsloth_zoo/gradient_checkpointing) and nowhere measured; a model that learns
as a whole with it is taken for one of transformers.
"""

from dataclasses import dataclass, replace

from core.models.parameters import targeted
from core.models.sizes import Linear, Sizes
from core.schema import ModelSpec

FLOAT32 = 4
_NO_TABLE_OF_PAIRS = ("neobert",)
"""Architectures that pass on a mask of one row a text, where others make one of all pairs of tokens for each layer."""
_QKV_IN_ONE = ("neobert", "modernbert")
_HEAD_READS_THE_STATES = ("bert", "distilbert", "modernbert")
"""Architectures whose head reads the first token before any dropout."""
_RMS_NORM = ("neobert", "llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Pass:
    """Of one batch, forward and back."""

    sizes: Sizes
    model: ModelSpec
    rows: int
    tokens: int
    """Of each row, padding counted."""
    number: int
    """Bytes of a number in products: 2 where autocast or the weights bring them to 16 bits, else 4."""
    weights: int
    """Bytes of a number of what is not in 4 bits, and of what passes between layers."""
    cuda: bool
    unsloth: bool = False

    @property
    def positions(self) -> int:
        return self.rows * self.tokens

    @property
    def autocast(self) -> bool:
        """Whether a product's inputs may have to be brought to another format first; on CUDA adapters, which are
        float32, always."""
        return self.number == 2

    @property
    def adapter(self) -> tuple[Linear, ...]:
        return targeted(self.sizes, self.model) if self.model.method in ("lora", "qlora", "head-on-llm") else ()

    @property
    def learning_layers(self) -> int:
        """Those that gradients pass through: all but the frozen ones at the bottom."""
        if self.model.method == "head":
            return 0
        frozen = self.model.frozen_layers if self.model.method == "freeze" else 0
        return max(0, self.sizes.layers - frozen)


def kept_bytes(done: Pass, *, checkpointing: bool, offloaded: bool = False) -> int:
    """By autograd, at the end of a forward pass, but for the logits of a language model. offloaded: what checkpointing
    keeps lies in main memory, where there is a GPU."""
    layers = done.learning_layers
    if not layers:
        return 0
    each = layer_input_bytes(done) if checkpointing else layer_bytes(done)
    ends = _ends_bytes(done) + (done.positions * done.tokens if checkpointing else 0)  # the mask, a byte a pair
    if checkpointing and offloaded and done.cuda:
        # Two of them are on the GPU at a time: one that is used, one on its way.
        return ends + min(layers, 2) * each
    return ends + layers * each


def layer_input_bytes(done: Pass) -> int:
    return done.positions * done.sizes.hidden_size * done.weights


def layer_bytes(done: Pass) -> int:
    """What one layer keeps."""
    if done.unsloth:
        return _unsloth_layer(done)
    sizes = done.sizes
    each = 2 * sizes.hidden_size * FLOAT32  # what the two norms read: they compute in float32
    each += 2 * FLOAT32 * (1 if sizes.architecture in _RMS_NORM else 2)
    if sizes.architecture in _RMS_NORM and not done.adapter:
        each += 2 * sizes.hidden_size * FLOAT32  # the norms' results before their weights, which learn
    each += _attention(done) + _feed_forward(done) + _linear_inputs(done)
    if sizes.hidden_dropout:
        times = 1 if sizes.architecture == "distilbert" else 2
        each += times * sizes.hidden_size
    return done.positions * each + _pairs(done) + _casts(done)


def casts_bytes(done: Pass) -> int:
    """Of what learns in all layers, until the forward pass is over: autocast keeps the copies that it makes of it."""
    if done.model.method in ("lora", "qlora", "head-on-llm"):
        done = replace(done, weights=done.number)  # of frozen weights it keeps none
    return done.learning_layers * _casts(done)


def backward_bytes(done: Pass) -> int:
    """What the way back through a layer needs beside what was kept: gradients of its widest part, and of 4-bit weights
    the largest as it is multiplied."""
    sizes = done.sizes
    wide = 2 if sizes.gated else 1
    each = wide * sizes.intermediate_size * done.number + 2 * sizes.hidden_size * FLOAT32
    if done.adapter and done.autocast:
        each += sizes.intermediate_size * FLOAT32  # what an adapter reads is brought to its format
    gradients = done.positions * each
    largest = max(linear.weights for linear in sizes.linears)
    return gradients + (largest * done.number if done.model.method in ("qlora", "head-on-llm") else 0)


def forward_bytes(done: Pass) -> int:
    """What a pass without a way back holds at its widest: in the feed-forward part of a layer."""
    sizes = done.sizes
    wide = 3 if sizes.gated else 2
    each = wide * sizes.intermediate_size * done.number + sizes.hidden_size * (2 * done.weights + done.number)
    largest = max(linear.weights for linear in sizes.linears)
    # Without a way back bitsandbytes multiplies 4-bit weights piece by piece on CUDA; elsewhere it unpacks them.
    unpacked = largest * done.number if done.model.method in ("qlora", "head-on-llm") else 0
    return done.positions * each + _pairs(done) + unpacked


def key_value_bytes(done: Pass) -> int:
    """Keys and values of all layers, where they are kept for tokens to come."""
    sizes = done.sizes
    return done.positions * sizes.layers * 2 * sizes.kv_heads * sizes.head_size * done.number


def _attention(done: Pass) -> int:
    """A token: queries, keys and values, what attention says, and its sums."""
    sizes = done.sizes
    queries, heads = sizes.heads * sizes.head_size, sizes.heads
    keys = sizes.kv_heads * sizes.head_size
    normed = FLOAT32 * (queries + keys) if sizes.architecture == "qwen3" else 0
    if done.model.family == "encoder" and done.model.attention_dropout and not done.cuda:
        # Step by step, in float32, with three tables of all pairs for each head.
        return 3 * queries * FLOAT32 + queries * done.number + 3 * heads * done.tokens * FLOAT32
    # Those that are turned by their position are kept beside the layer's output, which holds the values.
    vectors = 6 * queries if sizes.architecture in _QKV_IN_ONE else 4 * queries
    return vectors * done.number + heads * FLOAT32 + normed


def _feed_forward(done: Pass) -> int:
    """A token: what the activation function reads, and with a gate both sides of the product."""
    return (3 if done.sizes.gated else 1) * done.sizes.intermediate_size * done.number


def _linear_inputs(done: Pass) -> int:
    """A token: what the linear layers read, for the gradients of their weights or of their adapters."""
    adapter, linears = done.adapter, done.sizes.linears
    if not adapter:
        return _shared_inputs(done, linears)
    rank = done.model.lora.rank
    low = rank * len(adapter) * done.number
    if done.model.lora.dropout:
        # Each has its own dropout: the mask, a byte a number, and what is left.
        return low + sum(linear.inputs * (done.number + 1) for linear in adapter)
    of_bitsandbytes = done.model.method in ("qlora", "head-on-llm") and done.cuda
    if done.autocast and not of_bitsandbytes:
        # PEFT brings what an adapter reads to float32, and autocast brings each of these back to 16 bits.
        return low + sum(linear.inputs * done.number for linear in adapter)
    return low + _shared_inputs(done, adapter)


def _shared_inputs(done: Pass, learning: tuple[Linear, ...]) -> int:
    """Layers side by side read the same, which is kept once unless autocast makes a copy for each."""
    linears = done.sizes.linears
    after = 1 if len(linears) == 4 else 3
    before, behind = linears[:after], linears[after + 1 : -1]
    copies = done.autocast and done.weights == FLOAT32
    each = 0
    for group in (before, behind):
        count = sum(linear in learning for linear in group)
        each += (count if copies else min(count, 1)) * group[0].inputs * done.number
    # What attention says is kept by attention itself.
    return each + (linears[-1].inputs * done.number if linears[-1] in learning else 0)


def _pairs(done: Pass) -> int:
    """The mask, as a table of all pairs of tokens."""
    if done.sizes.architecture in _NO_TABLE_OF_PAIRS:
        return 0
    return done.positions * done.tokens * done.number


def _casts(done: Pass) -> int:
    """Copies of a layer's float32 weights and adapters in 16 bits, which autocast makes and autograd keeps."""
    if not done.autocast:
        return 0
    weights = done.sizes.linear_weights if done.weights == FLOAT32 else 0
    rank = done.model.lora.rank
    return done.number * (weights + sum(rank * (linear.inputs + linear.outputs) for linear in done.adapter))


def _ends_bytes(done: Pass) -> int:
    """Below the lowest layer and above the highest."""
    sizes, each = done.sizes, 8
    if done.model.method == "full" and done.model.family == "encoder" and sizes.other_embeddings:
        # The norm of the embeddings and the dropout behind it.
        each += sizes.hidden_size * (FLOAT32 + sizes.hidden_dropout)
    if sizes.architecture in _HEAD_READS_THE_STATES and not done.autocast:
        each += sizes.hidden_size * FLOAT32  # the head reads the first token, of which all others hang
    if sizes.final:
        each += sizes.hidden_size * FLOAT32 * (2 if sizes.architecture in _RMS_NORM and not done.adapter else 1)
    head = done.number * (sizes.pooler + sizes.head) if done.autocast else 0
    return done.positions * each + head


def _unsloth_layer(done: Pass) -> int:
    """RMSNorm and the fused LoRA functions keep what they read; the two sides of the gate are kept, their product is
    not; position turns queries and keys in place; masks of dropout are a byte a number."""
    sizes, rank = done.sizes, done.model.lora.rank
    vectors = (2 * sizes.heads + 2 * sizes.kv_heads) * sizes.head_size
    each = done.number * (4 * sizes.hidden_size + vectors + 2 * sizes.intermediate_size) + sizes.heads * FLOAT32
    if done.model.lora.dropout:
        each += sum(linear.inputs for linear in done.adapter)
    return done.positions * (each + rank * done.number) + _pairs(done)
