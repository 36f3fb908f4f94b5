"""Token rows keep what the tokenizer made, in any order, and batches are padded on the right."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from core.models.source import packaged_encoder
from core.models.tokens import collate, pad_rows, tokenise

TEXTS = ["What is an atom ?", "Who?", "", "How far is it from Denver to Aspen ? " * 40]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(packaged_encoder())


def test_rows_hold_the_tokenizers_ids_cut_to_the_maximum(tokenizer):
    rows = tokenise(tokenizer, TEXTS, 64, np.array([0, 1, 2, 3]))
    expected = tokenizer(TEXTS, truncation=True, max_length=64)["input_ids"]
    assert [rows[index]["input_ids"] for index in range(len(rows))] == expected
    assert rows.lengths.tolist() == [len(ids) for ids in expected]
    assert rows.lengths.max() == 64


def test_rows_can_be_taken_in_another_order(tokenizer):
    rows = tokenise(tokenizer, TEXTS, 64, np.array([0, 1, 2, 3]))
    shortest = rows.take(rows.shortest_first())
    assert shortest.labels.tolist() == [2, 1, 0, 3]
    assert shortest[3] == rows[3]


def test_no_texts_give_no_rows(tokenizer):
    assert len(tokenise(tokenizer, [], 64)) == 0


def test_padding_is_on_the_right_and_masked():
    batch = pad_rows([[5, 6, 7], [8]], pad_token_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_batch_has_its_labels():
    batch = collate([{"input_ids": [1, 2], "labels": 4}, {"input_ids": [3], "labels": 0}], pad_token_id=0)
    assert batch["labels"].tolist() == [4, 0]
