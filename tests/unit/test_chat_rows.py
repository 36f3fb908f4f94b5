"""Conversations: read from the forms data come in, the ids of transformers, loss on every answer and nothing else."""

import json

import pytest
from transformers import PreTrainedTokenizerFast

from core.chat_rows import ChatColumns, conversation, encode_conversation, suggest_chat_columns
from core.chat_templates import FALLBACK_TEMPLATE, model_tokenizer
from core.errors import UserError
from tests.small_tokenizers import LLAMA_3_SPECIAL, kinds, llama_3_tokens

FILES = {
    "alpaca_2k.json": ChatColumns(instruction="instruction", input="input", response="output"),
    "alpaca_gpt4_en_1k.json": ChatColumns(instruction="instruction", input="input", response="output"),
    "alpaca_zh_2k.jsonl": ChatColumns(instruction="instruction", input="input", response="output"),
    "roleplay_1900.jsonl": ChatColumns(instruction="instruction", input="input", response="response"),
    "chat_messages_1k.jsonl": ChatColumns(conversation="messages"),
    "toolcall_sharegpt_300.json": ChatColumns(conversation="conversations", tools="tools"),
}
MARKED = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|eot_id|>' }}{% endif %}{% endfor %}"
)
"""Llama-3's form with transformers' own marks around answers."""


def cells(entry: dict) -> dict[str, str]:
    """A row as a table has it: text, lists as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in entry.items()}


def rows_of(shared_data, name: str, count: int) -> list[dict[str, str]]:
    text = (shared_data / "sft" / name).read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
    return [cells(entry) for entry in entries[:count]]


def pairs(model: str):
    tokens, template, special = kinds()[model]
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=tokens, chat_template=template or FALLBACK_TEMPLATE, model_max_length=10**6, **special
    )
    return model_tokenizer(*kinds()[model]), theirs


@pytest.mark.parametrize("name", FILES)
def test_the_form_is_told_from_the_columns(shared_data, name):
    (row,) = rows_of(shared_data, name, 1)
    assert suggest_chat_columns(list(row)) == FILES[name]


def test_columns_of_a_class_are_no_conversation():
    assert suggest_chat_columns(["text", "label"]) is None
    assert suggest_chat_columns(["question", "topic"]) is None


@pytest.mark.parametrize("model", ["llama-3", "chatml", "llama-3 base", "mistral", "mistral, newer tokenizer"])
@pytest.mark.parametrize("name", FILES)
def test_ids_are_those_of_transformers_and_all_answers_are_learned(shared_data, name, model):
    if model.startswith("mistral") and name.startswith("toolcall"):
        pytest.skip("this template knows no tools and no system part")
    ours, theirs = pairs(model)
    for number, row in enumerate(rows_of(shared_data, name, 25)):
        talk = conversation(FILES[name], row, number)
        example = encode_conversation(ours, talk, 10**6)
        assert example is not None
        messages = [dict(message) for message in talk.messages]
        assert example.ids == theirs.apply_chat_template(messages, tools=list(talk.tools) or None, return_dict=False)
        answers = [message["content"] for message in messages if message["role"] == "assistant"]
        learned = theirs.decode([index for index, kept in zip(example.ids, example.learned, strict=True) if kept])
        said = learned.split(theirs.eos_token)
        assert said.pop() == ""
        assert [words.strip() for words in said] == [words.strip() for words in answers]


def test_what_is_learned_is_what_transformers_marks(shared_data):
    ours = model_tokenizer(llama_3_tokens(), MARKED, LLAMA_3_SPECIAL)
    theirs = PreTrainedTokenizerFast(tokenizer_object=llama_3_tokens(), chat_template=MARKED, **LLAMA_3_SPECIAL)
    for number, row in enumerate(rows_of(shared_data, "toolcall_sharegpt_300.json", 40)):
        talk = conversation(FILES["toolcall_sharegpt_300.json"], row, number)
        example = encode_conversation(ours, talk, 10**6)
        marked = theirs.apply_chat_template(
            [dict(message) for message in talk.messages], return_dict=True, return_assistant_tokens_mask=True
        )
        assert example is not None
        assert example.ids == marked["input_ids"]
        assert example.learned == [bool(mark) for mark in marked["assistant_masks"]]


def test_an_answer_that_the_template_rewrites_is_learned_as_it_is_printed(shared_data):
    """As Qwen's does with the reasoning of earlier turns; and the answer's words stand in the question too."""
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}A: {{ m.content.split('</think>')[-1] }}</s>"
        "{% else %}Q: {{ m.content }}\n{% endif %}{% endfor %}"
    )
    tokens, _, special = kinds()["mistral"]
    ours = model_tokenizer(tokens, template, special)
    talk = conversation(
        ChatColumns(conversation="c"),
        {"c": json.dumps([{"role": "user", "content": "A: yes"}, {"role": "assistant", "content": "hm</think>yes"}])},
        0,
    )
    example = encode_conversation(ours, talk, 100)
    assert example is not None
    learned = [index for index, kept in zip(example.ids, example.learned, strict=True) if kept]
    assert tokens.decode(learned, skip_special_tokens=False).strip() == "yes</s>"
    assert example.learned == sorted(example.learned)


def test_a_template_without_an_end_gets_one(shared_data):
    tokens, _, special = kinds()["mistral"]
    ours = model_tokenizer(tokens, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", special)
    talk = conversation(ChatColumns(instruction="a", response="b"), {"a": "Who?", "b": "Me."}, 0)
    example = encode_conversation(ours, talk, 100)
    assert example is not None
    assert example.ids[-1] == ours.eos_id
    assert example.learned[-1]


def test_a_long_conversation_loses_whole_turns_from_its_end(shared_data):
    ours, _ = pairs("llama-3")
    turns = [{"from": side, "value": f"{side} {turn} " * 5} for turn in range(6) for side in ("human", "gpt")]
    talk = conversation(ChatColumns(conversation="c"), {"c": json.dumps(turns)}, 0)
    whole = encode_conversation(ours, talk, 10**6)
    assert whole is not None
    part = encode_conversation(ours, talk, len(whole.ids) - 1)
    assert part is not None
    assert part.ids == whole.ids[: len(part.ids)]
    assert part.ids.count(ours.eos_id) == 10
    assert part.learned[-1]
    assert encode_conversation(ours, talk, 10) is None


def test_a_question_without_answer_at_the_end_is_left_out():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    talk = conversation(ChatColumns(conversation="c"), {"c": json.dumps(turns)}, 0)
    assert [message["content"] for message in talk.messages] == ["a", "b"]


def test_a_system_column_stands_first_and_input_follows_the_instruction():
    form = suggest_chat_columns(["System", "Instruction", "Input", "Output"])
    assert form is not None
    row = {"System": " Be brief. ", "Instruction": "Add.", "Input": "1, 2", "Output": "3"}
    assert conversation(form, row, 0).messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add.\n\n1, 2"},
        {"role": "assistant", "content": "3"},
    )


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("not JSON", "does not hold a list"),
        ('{"role": "user"}', "does not hold a list"),
        ("[1, 2]", "does not hold a list"),
        ('[{"role": "wizard", "content": "x"}]', "wizard"),
        ('[{"content": "x"}]', "None"),
        ('[{"role": "user", "content": null}]', "holds no text"),
        ('[{"role": "user", "content": "x"}]', "no answer"),
        ('[{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]', "no answer"),
        ("[]", "no answer"),
    ],
)
def test_a_row_that_is_no_conversation_is_told(cell, words):
    with pytest.raises(UserError) as caught:
        conversation(ChatColumns(conversation="c"), {"c": cell}, 6)
    assert caught.value.where == "row 7"
    assert words in caught.value.what
