"""Which words mattered: exactly what hiding them does, whatever the architecture, the text's length and its script."""

import json
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from core.decision import Decision
from core.errors import UserError
from core.evaluation.word_effects import MOST_GROUPS, word_effects
from core.prediction_service import PredictionService
from tests.run_folders import run_spec, write_run
from tests.small_encoders import CONFIGS, small

WORDS = {"[PAD]": 0, "[MASK]": 1} | {str(number): number for number in range(2, 59)} | {"سلام": 59}


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(WordLevel(WORDS, "2"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", mask_token="[MASK]")


def facts(kind="single", temperature=1.0, max_length=256):
    return SimpleNamespace(label_kind=kind, decision=Decision(temperature=temperature), max_length=max_length)


@torch.no_grad()
def probability(model, ids, label, temperature):
    return float(torch.softmax(model(input_ids=torch.tensor([ids])).logits / temperature, dim=-1)[0, label])


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_effect_is_what_hiding_the_word_takes_away(kind, tokenizer):
    model, text = small(kind).eval(), "5 17  سلام 40"
    found = word_effects(model, tokenizer, facts(temperature=2.0), text, 1)
    assert "".join(piece for piece, _ in found.pieces) == text
    ids = [5, 17, 59, 40]
    with_all = probability(model, ids, 1, 2.0)
    assert found.probability == pytest.approx(with_all, abs=1e-5)
    effects = [effect for _, effect in found.pieces if effect is not None]
    for place, effect in enumerate(effects):
        hidden = [1 if one == place else number for one, number in enumerate(ids)]
        assert effect == pytest.approx(with_all - probability(model, hidden, 1, 2.0), abs=1e-5)
    assert not found.cut and found.grouped == 1


def test_a_long_text_costs_no_more_than_so_many_passes(tokenizer):
    model = small("bert").eval()
    passes = 0

    def count(*_):
        nonlocal passes
        passes += 1

    model.register_forward_hook(count)
    found = word_effects(model, tokenizer, facts(max_length=200), " ".join(["7"] * 500), 0)
    assert found.cut and found.grouped > 1
    assert len([effect for _, effect in found.pieces if effect is not None]) <= MOST_GROUPS
    # Several hidden at once make one pass.
    assert passes <= MOST_GROUPS


def test_an_empty_text_and_several_classes(tokenizer):
    model = small("distilbert").eval()
    found = word_effects(model, tokenizer, facts("multi"), "9 11", 2)
    with torch.no_grad():
        said = torch.sigmoid(model(input_ids=torch.tensor([[9, 11]])).logits)[0, 2]
    assert found.probability == pytest.approx(float(said), abs=1e-5)


def test_only_an_encoder_is_asked_and_only_about_its_classes(workspace):
    folder = write_run(workspace, "a-run", run_spec(), ["yes", "no"])
    service = PredictionService(workspace)
    with pytest.raises(UserError, match="no class of this model"):
        service.explain("a-run", "some words", "maybe")
    path = folder.model / "tunedesk.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"family": "causal", "task": "answer"}
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(UserError, match="language model"):
        service.explain("a-run", "some words", "yes")
