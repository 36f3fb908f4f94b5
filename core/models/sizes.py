"""How large the parts of a model are, from its config.json alone: the same numbers as a model that is built has.

Light: no torch, no weights. Held to models built on the meta device in tests/unit/test_sizes.py. An architecture that
is not listed here has no sizes before it is loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Config = Mapping[str, Any]
"""config.json, or as much of it as sizes follow from."""


@dataclass(frozen=True)
class Linear:
    name: str
    """Ends as the module's name does."""
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        return self.weights + self.outputs * self.bias


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters where nothing else is said. The new output layer of a classifier is in none of them."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate_size: int
    """Of the feed-forward part, as it is between its two or three linear layers."""
    gated: bool
    """Whether two linear layers side by side make that (SwiGLU, GeGLU)."""
    vocabulary: int
    token_embeddings: int
    other_embeddings: int
    """Positions, token types and the norm below the lowest layer."""
    linears: tuple[Linear, ...]
    """The linear layers of one layer: those that make queries, keys and values, the one after the attention, those
    into the feed-forward part, and last the one out of it."""
    norms: int
    """All else in a layer."""
    lowest_lacks: int = 0
    """What the lowest layer has fewer than the others."""
    final: int = 0
    """Above the highest layer: its norm."""
    pooler: int = 0
    """Of the pretrained model, but learned with the head."""
    head: int = 0
    """In transformers' new classification head, without its output layer."""
    output: int = 0
    """Of a language model's output layer, where it is not the token embeddings again."""
    architecture: str = ""
    """`model_type` of the config."""
    hidden_dropout: bool = False
    """Whether part of what passes between the layers is dropped in training."""

    @property
    def embeddings(self) -> int:
        return self.token_embeddings + self.other_embeddings

    @property
    def linear_weights(self) -> int:
        """In the linear layers of one layer, without biases: what is kept in 4 bits."""
        return sum(linear.weights for linear in self.linears)

    @property
    def layer(self) -> int:
        """In each layer but the lowest, which may lack some."""
        return sum(linear.parameters for linear in self.linears) + self.norms

    @property
    def body(self) -> int:
        """From the embeddings to the norm above the highest layer."""
        return self.embeddings + self.layers * self.layer - self.lowest_lacks + self.final

    @property
    def pretrained(self) -> int:
        """In all of the pretrained model that is used."""
        return self.body + self.pooler + self.output


def sizes_of(config: Config) -> Sizes | None:
    """None for an architecture that is not known here, and where the config lacks a number."""
    name = str(config.get("model_type", ""))
    of = _ARCHITECTURES.get(name)
    try:
        return replace(of(config), architecture=name) if of else None
    except (KeyError, TypeError):  # a config that is damaged or of another kind: loading the model says so
        return None


def _bert(config: Config) -> Sizes:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    other = (config["max_position_embeddings"] + config["type_vocab_size"] + 2) * hidden
    return Sizes(
        **_of_encoder(config, other),
        intermediate_size=inner,
        gated=False,
        linears=(
            *_four(hidden, ("query", "key", "value", "attention.output.dense")),
            *_two(hidden, inner, ("intermediate.dense", "output.dense")),
        ),
        norms=4 * hidden,
        pooler=(hidden + 1) * hidden,
        hidden_dropout=config.get("hidden_dropout_prob", 0.1) > 0,
    )


def _roberta(config: Config) -> Sizes:
    """As BERT; its classification head has a dense layer of its own and takes no pooler."""
    sizes = _bert(config)
    return Sizes(**(vars(sizes) | {"pooler": 0, "head": sizes.pooler}))


def _distilbert(config: Config) -> Sizes:
    hidden, inner = config["dim"], config["hidden_dim"]
    numbers = {"hidden_size": hidden, "num_hidden_layers": config["n_layers"], "num_attention_heads": config["n_heads"]}
    return Sizes(
        **_of_encoder({**config, **numbers}, (config["max_position_embeddings"] + 2) * hidden),
        intermediate_size=inner,
        gated=False,
        linears=(
            *_four(hidden, ("q_lin", "k_lin", "v_lin", "out_lin")),
            *_two(hidden, inner, ("ffn.lin1", "ffn.lin2")),
        ),
        norms=4 * hidden,
        head=(hidden + 1) * hidden,
        hidden_dropout=config.get("dropout", 0.1) > 0,
    )


def _neobert(config: Config) -> Sizes:
    """core/models/neobert.py: two thirds of `intermediate_size`, rounded up to a multiple of 8."""
    hidden = config["hidden_size"]
    inner = -(-int(2 * config["intermediate_size"] / 3) // 8) * 8
    return Sizes(
        **_of_encoder(config, 0),
        intermediate_size=inner,
        gated=True,
        linears=(
            Linear("qkv", hidden, 3 * hidden),
            Linear("wo", hidden, hidden),
            Linear("w12", hidden, 2 * inner),
            Linear("w3", inner, hidden),
        ),
        norms=2 * hidden,
        final=hidden,
        head=(hidden + 1) * hidden,
    )


def _modernbert(config: Config) -> Sizes:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return Sizes(
        **_of_encoder(config, hidden),
        intermediate_size=inner,
        gated=True,
        linears=(
            Linear("Wqkv", hidden, 3 * hidden),
            Linear("attn.Wo", hidden, hidden),
            Linear("Wi", hidden, 2 * inner),
            Linear("mlp.Wo", inner, hidden),
        ),
        norms=2 * hidden,
        lowest_lacks=hidden,
        final=hidden,
        head=hidden * hidden + hidden,
    )


def _llama(config: Config, *, attention_bias: bool = False, head_norms: bool = False) -> Sizes:
    """Llama and its kin: grouped queries, SwiGLU, RMSNorm."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_size = config.get("head_dim") or hidden // heads
    bias = attention_bias or bool(config.get("attention_bias"))
    embeddings = config["vocab_size"] * hidden
    return Sizes(
        hidden_size=hidden,
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        intermediate_size=inner,
        gated=True,
        vocabulary=config["vocab_size"],
        token_embeddings=embeddings,
        other_embeddings=0,
        linears=(
            Linear("q_proj", hidden, heads * head_size, bias),
            Linear("k_proj", hidden, kv_heads * head_size, bias),
            Linear("v_proj", hidden, kv_heads * head_size, bias),
            Linear("o_proj", heads * head_size, hidden, bias and not attention_bias),
            Linear("gate_proj", hidden, inner),
            Linear("up_proj", hidden, inner),
            Linear("down_proj", inner, hidden),
        ),
        norms=2 * hidden + 2 * head_size * head_norms,
        final=hidden,
        output=0 if config.get("tie_word_embeddings") else embeddings,
    )


def _qwen2(config: Config) -> Sizes:
    return _llama(config, attention_bias=True)


def _qwen3(config: Config) -> Sizes:
    return _llama(config, head_norms=True)


_ARCHITECTURES: dict[str, Callable[[Config], Sizes]] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "distilbert": _distilbert,
    "neobert": _neobert,
    "modernbert": _modernbert,
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
}


def _of_encoder(config: Config, other_embeddings: int) -> dict[str, Any]:
    """What every encoder's sizes have in common."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    return {
        "hidden_size": hidden,
        "layers": config["num_hidden_layers"],
        "heads": heads,
        "kv_heads": heads,
        "head_size": hidden // heads,
        "vocabulary": config["vocab_size"],
        "token_embeddings": config["vocab_size"] * hidden,
        "other_embeddings": other_embeddings,
    }


def _four(hidden: int, names: tuple[str, ...]) -> tuple[Linear, ...]:
    """The linear layers of attention."""
    return tuple(Linear(name, hidden, hidden, bias=True) for name in names)


def _two(hidden: int, inner: int, names: tuple[str, str]) -> tuple[Linear, ...]:
    return Linear(names[0], hidden, inner, bias=True), Linear(names[1], inner, hidden, bias=True)
