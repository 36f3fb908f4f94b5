"""An encoder as an ONNX file, by PyTorch's own exporter, checked against the model on texts of the run's test part.

Rows and tokens are of any number. Own heads and NeoBERT too. 8 bits are ONNX Runtime's dynamic quantisation: weights
once, activations as they come. Heavy: imports torch, and the packages onnx, onnxscript and onnxruntime where they are
used.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

import core.models.neobert as neobert
from core.errors import UserError
from core.export.bundle import copy_tokenizer
from core.export_formats import Exported, Tell, exported_facts
from core.model_facts import ModelFacts
from core.models.inference import probabilities_of
from core.models.tokens import pad_rows, tokenise
from core.models.trained_encoder import load_trained_encoder
from core.predictor import MAKE_AGAIN

MODEL, CHECK = "model.onnx", "onnx_check.json"
LARGEST_DIFFERENCE = 1e-3
"""In a probability, of an export that is to be exact."""
ONE_FILE_BYTES = 1_900_000_000
"""A protocol buffer holds 2 GB; larger weights lie beside it."""


@dataclass(frozen=True)
class Checked:
    """onnx_check.json: the export beside the model on the same texts."""

    rows: int
    largest_difference: float
    """In a probability."""
    same_label: int
    """Rows."""


class _Logits(nn.Module):
    """A model that gives logits alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def write_onnx(model: Path, facts: ModelFacts, place: Path, precision: str, texts: list[str], tell: Tell) -> Exported:
    """Write model.onnx, tokenizer and what the check found to the folder `place`.

    texts: real ones to check it on. Raises UserError where the architecture cannot be exported, or the exact export
    does not say what the model says.
    """
    tell(0, 0, "loading the model")
    try:
        network = load_trained_encoder(model, facts)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The model of run {facts.run} cannot be loaded: {error}", str(model), MAKE_AGAIN) from error
    assert network is not None
    network.eval()
    tell(0, 0, "exporting")
    export_graph(network, place / MODEL, facts.architecture)
    if precision == "int8":
        tell(0, 0, "quantising")
        _quantise(place / MODEL)
    copy_tokenizer(model, place)
    checked = _check(network, model, place / MODEL, facts, texts, tell) if texts else None
    if checked is not None:
        (place / CHECK).write_text(json.dumps(vars(checked), indent=1), encoding="utf-8")
        if precision != "int8" and checked.largest_difference > LARGEST_DIFFERENCE:
            raise UserError(
                f"The ONNX file does not say what the model says: a probability is {checked.largest_difference:.3f} "
                "off.",
                "format",
                "Take it away as a model instead: ONNX does not suit this architecture.",
            )
    # The adapter of a LoRA run is in these weights.
    return Exported(exported_facts(facts, "onnx"), "onnx", precision, (_check_words(checked),))


def _check_words(checked: Checked | None) -> str:
    if checked is None:
        return "It was not checked against the model: the run has no texts to do so."
    return (
        f"Checked against the model on {checked.rows:,} texts: the same likeliest class on {checked.same_label:,}, no "
        f"probability more than {checked.largest_difference:.2g} off."
    )


def export_graph(network: PreTrainedModel, file: Path, architecture: str) -> None:
    """Write the model as an ONNX file with free rows and tokens. Raises UserError where its kind cannot be."""
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 0, 0, 0]]) % network.config.vocab_size
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    axes = {0: "rows", 1: "tokens"}
    size = sum(parameter.nbytes for parameter in network.parameters())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), _real_rotation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Logits(network), (ids, mask), file, input_names=["input_ids", "attention_mask"],
                output_names=["logits"], dynamic_shapes=(axes, axes), dynamo=True, verbose=False,
                external_data=size > ONE_FILE_BYTES,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise UserError(
            f"PyTorch cannot write {architecture or 'this'} models as ONNX ({str(error).splitlines()[0][:200]}).",
            "format",
            "Take it away as a model.",
        ) from error


@contextmanager
def _real_rotation() -> Iterator[None]:
    """NeoBERT turns pairs of numbers as complex ones, which ONNX does not have: meanwhile with sine and cosine."""
    before = neobert.rotary_table, neobert.rotated

    def made(positions: int, head_size: int, device: torch.device) -> torch.Tensor:
        pairs = torch.arange(0, head_size, 2, device=device, dtype=torch.float32)
        steps = torch.arange(positions, device=device, dtype=torch.float32)
        angles = steps[:, None] * (neobert.ROTARY_THETA ** (-pairs / head_size))[None]
        return torch.stack([angles.cos(), angles.sin()])

    def rotated(vectors: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        one, other = vectors.float().unflatten(-1, (-1, 2)).unbind(-1)
        cosine, sine = table[0][None, :, None], table[1][None, :, None]
        turned = torch.stack([one * cosine - other * sine, one * sine + other * cosine], dim=-1)
        return turned.flatten(-2).to(vectors.dtype)

    neobert.rotary_table, neobert.rotated = made, rotated
    try:
        yield
    finally:
        neobert.rotary_table, neobert.rotated = before


def _quantise(file: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = onnx.load(file)
    # The shapes that the exporter noted stop the quantiser, which works out its own and finds that they differ.
    del exact.graph.value_info[:]
    for left in file.parent.glob(f"{file.name}*"):
        left.unlink()
    quantize_dynamic(exact, file, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})


def _check(
    network: PreTrainedModel, model: Path, file: Path, facts: ModelFacts, texts: list[str], tell: Tell
) -> Checked:
    """Row by row, as who uses it does: activations are quantised by what is in a batch."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = tokenise(tokenizer, texts, facts.max_length)
    ours, theirs = [], []
    for number in range(len(rows)):
        read = pad_rows([rows[number]["input_ids"]], tokenizer.pad_token_id)
        with torch.inference_mode():
            ours.append(network(**read).logits[0].float().numpy())
        theirs.append(session.run(None, {name: tensor.numpy() for name, tensor in read.items()})[0][0])
        tell(number + 1, len(rows), "checking")
    before, after = (_probabilities(logits, facts) for logits in (ours, theirs))
    return Checked(
        rows=len(texts),
        largest_difference=float(np.abs(before - after).max()),
        same_label=int((before.argmax(axis=1) == after.argmax(axis=1)).sum()),
    )


def _probabilities(logits: list[npt.NDArray[np.float32]], facts: ModelFacts) -> npt.NDArray[np.float32]:
    return probabilities_of(cast(npt.NDArray[np.float32], np.stack(logits)), facts.label_kind)
