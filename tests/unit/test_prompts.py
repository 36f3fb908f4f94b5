"""Prompts: the same ids as transformers, loss on the answer alone, only the text cut, faults told by field."""

import json
import random
import subprocess
import sys

import pytest
from transformers import PreTrainedTokenizerFast

from core.chat_templates import FALLBACK_TEMPLATE, ModelTokenizer, model_tokenizer, read_model_tokenizer
from core.errors import UserError
from core.prompt_preview import preview
from core.prompt_rows import IGNORED, answered_labels, encode_prompts, training_examples
from core.prompts import Prompt, build_prompt, prompt_content, prompt_from_content
from core.schema import PromptSpec
from tests.small_tokenizers import KINDS, MISTRAL_SPECIAL, kinds, llama_3_tokens, mistral_tokens, questions

LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM", "NUM count", "NUM count of people", "ort: Köln 日本"]
SPEC = PromptSpec(user="Which of {labels} is this?\n\n{text}\nOne word.")
R4 = PromptSpec(
    template="raw",
    user="[INST]Classify the text enclosed in square brackets into one of: {labels}. Return the label.[/INST]\n"
    "[{text}] =",
    assistant=" {label}",
)


@pytest.fixture(scope="module")
def models(shared_data) -> dict[str, ModelTokenizer]:
    return {name: model_tokenizer(*parts) for name, parts in kinds().items()}


def fast_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """The same, as transformers has it."""
    tokens, template, special = kinds()[name]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, chat_template=template or FALLBACK_TEMPLATE, model_max_length=100_000, **special
    )


def ready(tokenizer: ModelTokenizer, spec: PromptSpec = SPEC, max_length: int = 2000, **given) -> Prompt:
    facts = {"columns": ["text", "title", "topic"], "label_column": "topic", "labels": LABELS, **given}
    return build_prompt(spec, tokenizer, max_length=max_length, **facts)


@pytest.mark.parametrize("name", KINDS)
def test_ids_are_those_of_transformers_and_only_answer_and_end_are_learned(models, name):
    prompt, theirs = ready(models[name]), fast_tokenizer(name)
    chosen = [*questions()[:60], "ends in a blank? ", "Ünïcode 日本 🙂", "a\n\nb\tc", "1 2  3   4"]
    labels = [LABELS[index % len(LABELS)] for index in range(len(chosen))]
    examples = training_examples(prompt, [{"text": text} for text in chosen], labels)
    for text, label, example in zip(chosen, labels, examples, strict=True):
        user = f"Which of {', '.join(LABELS)} is this?\n\n{text.strip()}\nOne word."
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": label}]
        assert example.ids == theirs.apply_chat_template(messages, return_dict=False)
        asked = theirs.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=False)
        assert encode_prompts(prompt, [{"text": text}])[0].ids == asked
        first = example.learned.index(True)
        assert first == len(asked)
        learned = [index for index, kept in zip(example.ids, example.learned, strict=True) if kept]
        assert example.learned == [False] * first + [True] * len(learned) + [False] * (
            len(example.ids) - first - len(learned)
        )
        assert learned[-1] == models[name].eos_id
        assert theirs.decode(learned[:-1]).strip() == label
        assert [target for target in example.targets if target != IGNORED] == learned


def test_the_system_part_is_the_first_message(models):
    prompt = ready(models["llama-3"], PromptSpec(system="You sort {title}.", user="{text}"))
    messages = [
        {"role": "system", "content": "You sort mail."},
        {"role": "user", "content": "Hello"},
    ]
    theirs = fast_tokenizer("llama-3").apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert encode_prompts(prompt, [{"text": " Hello ", "title": "mail"}])[0].ids == theirs
    assert prompt.columns == ("title", "text")


@pytest.mark.parametrize("name", ["mistral", "mistral, newer tokenizer", "llama-3"])
def test_a_raw_prompt_is_the_text_as_it_stands_with_one_beginning_and_one_end(models, name):
    prompt, theirs = ready(models[name], R4), fast_tokenizer(name)
    (example,) = training_examples(prompt, [{"text": "How far is it ?"}], ["NUM"])
    text = f"[INST]Classify the text enclosed in square brackets into one of: {', '.join(LABELS)}. Return the label."
    text += "[/INST]\n[How far is it ?] = NUM"
    assert example.ids == [*theirs(text)["input_ids"], theirs.eos_token_id]
    learned = [index for index, kept in zip(example.ids, example.learned, strict=True) if kept]
    assert theirs.decode(learned).strip() == "NUM" + theirs.eos_token
    assert example.learned[-len(learned) :] == [True] * len(learned)


def test_a_beginning_written_into_a_raw_prompt_is_not_doubled(models):
    spec = PromptSpec(template="raw", user="<s>[{text}] =", assistant=" {label}")
    ids = encode_prompts(ready(models["mistral"], spec), [{"text": "x"}])[0].ids
    assert ids.count(1) == 1
    assert ids[0] == 1


def test_a_blank_at_the_end_of_the_prompt_goes_into_the_answers_first_token(models):
    with_blank = PromptSpec(template="raw", user="[{text}] = ", assistant="{label}")
    without = PromptSpec(template="raw", user="[{text}] =", assistant=" {label}")
    one, other = (
        training_examples(ready(models["llama-3"], spec), [{"text": "x"}], ["LOC"]) for spec in (with_blank, without)
    )
    assert one == other


def test_an_answer_that_would_melt_into_the_prompt_keeps_its_own_tokens(models):
    """Without a blank between, `=` and the label would share a token; the border stays where the answer begins."""
    prompt = ready(models["llama-3"], PromptSpec(template="raw", user="[{text}] =", assistant="{label}"))
    asked = encode_prompts(prompt, [{"text": "x"}])[0].ids
    (example,) = training_examples(prompt, [{"text": "x"}], ["LOC"])
    assert example.ids[: len(asked)] == asked
    assert models["llama-3"].tokens.decode(example.ids[len(asked) : -1]) == "LOC"


def test_a_label_has_the_same_tokens_in_every_row(models):
    prompt = ready(models["mistral"], PromptSpec(template="raw", user="{text}", assistant=" {label}"))
    rows = [{"text": text} for text in ("x", "x =", "日本", "1", "'")]
    for tokens, example in zip(
        encode_prompts(prompt, rows), training_examples(prompt, rows, ["HUM"] * len(rows)), strict=True
    ):
        assert example.ids == [*tokens.ids, *prompt.answers[LABELS.index("HUM")].ids]


def test_labels_that_begin_with_another_label_are_told_apart_by_the_end(models):
    answers = {answer.label: answer.ids for answer in ready(models["llama-3"]).answers}
    short, longer = answers["NUM"], answers["NUM count"]
    assert longer[: len(short) - 1] == short[:-1]
    assert longer[: len(short)] != short


def random_text(rng: random.Random) -> str:
    alphabet = "ab cdeé 日本語🙂👩‍👩‍👧 \n.,'[]=<>/|{}"
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 400)))


@pytest.mark.parametrize("spec", [SPEC, R4, PromptSpec(template="raw", user="{text}", assistant=" {label}")])
@pytest.mark.parametrize("name", ["llama-3", "mistral", "mistral, newer tokenizer"])
def test_only_the_text_is_cut_and_only_as_far_as_needed(models, name, spec):
    fixed = ready(models[name], spec, max_length=20_000)
    empty = encode_prompts(fixed, [{"text": ""}])[0].ids
    prompt = ready(models[name], spec, max_length=fixed.max_length - fixed.room + len(empty) + 25)
    before, after = encode_prompts(fixed, [{"text": "§§§"}])[0].text.split("§§§")
    rng = random.Random(5)
    texts = [random_text(rng).strip() or "x" for _ in range(60)] + ["word " * 30_000, "日" * 30_000]
    cut = 0
    for text, tokens in zip(texts, encode_prompts(prompt, [{"text": text} for text in texts]), strict=True):
        whole = encode_prompts(fixed, [{"text": text[:3000]}])[0].ids
        assert len(tokens.ids) <= prompt.room + len(prompt.prefix)
        if tokens.kept is None:
            assert tokens.ids == whole
        else:
            cut += 1
            assert len(whole) > prompt.room + len(prompt.prefix)
            assert tokens.text == before + text[: tokens.kept] + after
            assert len(tokens.ids) >= prompt.room - 6
    assert cut >= 20


def test_a_row_is_cut_alike_whatever_its_label(models):
    prompt = ready(models["llama-3"], max_length=120)
    rows = [{"text": "word " * 300}] * len(LABELS)
    examples = training_examples(prompt, rows, LABELS)
    prompts = {tuple(example.ids[: example.learned.index(True)]) for example in examples}
    assert len(prompts) == 1
    assert max(len(example.ids) for example in examples) <= 120


def test_values_are_never_read_as_templates(models):
    text = "{label} {{ 7*7 }} {% for x in y %} {text} {labels} \\1"
    (tokens,) = encode_prompts(ready(models["llama-3"]), [{"text": text}])
    assert text in tokens.text


def test_braces_that_are_no_placeholder_stay(models):
    spec = PromptSpec(user='Answer as {"label": {"name": 1}} or {{title}} or {}: {text}')
    (tokens,) = encode_prompts(ready(models["llama-3"], spec), [{"text": "x"}])
    assert 'Answer as {"label": {"name": 1}} or {title} or {}: x' in tokens.text


FAULTS = [
    (PromptSpec(user="{text} {body}"), "prompt.user", "{body} is not a column"),
    (PromptSpec(system="{body}", user="{text}"), "prompt.system", "{body} is not a column"),
    (PromptSpec(user="{text} {label}"), "prompt.user", "gives the answer away"),
    (PromptSpec(user="{text} {topic}"), "prompt.user", "gives the answer away"),
    (PromptSpec(system="It is {label}.", user="{text}"), "prompt.system", "gives the answer away"),
    (PromptSpec(user="Which of {labels}?"), "prompt.user", "nothing of the row"),
    (PromptSpec(user="{text} {text}"), "prompt.user", "more than once"),
    (PromptSpec(user="{text}", assistant="class"), "prompt.assistant", "does not hold the class"),
    (PromptSpec(user="{text}", assistant="{label} {title}"), "prompt.assistant", "{title}"),
    (PromptSpec(user="{text}", assistant="{label} {label}"), "prompt.assistant", "second"),
    (PromptSpec(template="raw", system="Be brief.", user="{text}"), "prompt.system", "no place"),
    (PromptSpec(user="word " * 300 + "{text}"), "prompt.user", "before any text is in it"),
]


@pytest.mark.parametrize(("spec", "field", "words"), FAULTS)
def test_faults_are_told_with_their_field(models, spec, field, words):
    with pytest.raises(UserError) as caught:
        ready(models["llama-3"], spec, max_length=256)
    assert caught.value.where == field
    assert words in caught.value.what
    shown = preview(
        spec, models["llama-3"], {"text": "x", "title": "y"}, "NUM",
        columns=["text", "title", "topic"], label_column="topic", labels=LABELS, max_length=256,
    )  # fmt: skip
    assert shown.segments == ()
    assert [(problem.severity, problem.field) for problem in shown.problems if words in problem.what] == [
        ("error", field)
    ]


def test_a_system_part_that_the_template_refuses_is_told(models):
    with pytest.raises(UserError) as caught:
        ready(models["mistral"], PromptSpec(system="Be brief.", user="{text}"))
    assert caught.value.where == "prompt.system"
    assert "roles must alternate" in caught.value.what


def test_a_system_part_that_the_template_leaves_out_is_told(shared_data):
    silent = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}</s>{% endif %}{% endfor %}"
    tokenizer = model_tokenizer(mistral_tokens(), silent, MISTRAL_SPECIAL)
    with pytest.raises(UserError) as caught:
        ready(tokenizer, PromptSpec(system="Be brief.", user="{text}"))
    assert caught.value.where == "prompt.system"


def test_an_answer_of_no_tokens_and_two_of_the_same_are_refused(models):
    with pytest.raises(UserError, match="no token at all"):
        ready(models["llama-3"], labels=["a", "  "])
    with pytest.raises(UserError, match="'a' and ' a' as the same"):
        ready(models["llama-3"], labels=["a", " a"])


def test_a_row_whose_other_columns_are_too_long_is_told(models):
    prompt = ready(models["llama-3"], PromptSpec(user="{title} {text}"), max_length=64)
    with pytest.raises(UserError) as caught:
        encode_prompts(prompt, [{"title": "a", "text": "b"}, {"title": "word " * 200, "text": "b"}])
    assert caught.value.where == "row 2"


def test_the_preview_shows_all_that_is_read_learned_and_cut(models):
    facts = {"columns": ["text", "topic"], "label_column": "topic", "labels": LABELS, "max_length": 100}
    text = "What is the longest river that flows through more than one country ? " * 8
    shown = preview(SPEC, models["llama-3"], {"text": text}, "NUM count", **facts)
    (example,) = training_examples(ready(models["llama-3"], max_length=100), [{"text": text}], ["NUM count"])
    assert shown.tokens == len(example.ids) <= 100
    assert shown.learned_tokens == sum(example.learned)
    learned = [segment.text for segment in shown.segments if segment.kind == "learned"]
    assert len(learned) == shown.learned_tokens
    assert "".join(learned) == "NUM count<|eot_id|>"
    (cut,) = [segment.text for segment in shown.segments if segment.kind == "cut"]
    assert text.strip().endswith(cut)
    read = "".join(segment.text for segment in shown.segments if segment.kind != "cut")
    assert models["llama-3"].tokens.encode(read, add_special_tokens=False).ids == example.ids
    assert text.strip() in "".join(segment.text for segment in shown.segments)
    (problem,) = shown.problems
    assert (problem.severity, problem.field) == ("warning", "model.max_length")


def test_the_preview_of_a_raw_prompt_shows_the_tokens_that_are_added(models):
    shown = preview(
        R4, models["mistral"], {"text": "Who?"}, "HUM",
        columns=["text"], label_column="topic", labels=LABELS, max_length=300,
    )  # fmt: skip
    assert shown.segments[0].text.startswith("<s>[INST]")
    assert "".join(segment.text for segment in shown.segments if segment.kind == "learned") == " HUM</s>"


def test_several_faults_are_shown_at_once(models):
    shown = preview(
        PromptSpec(system="{label}", user="{body} {text}", assistant="x"), models["llama-3"], {"text": "x"}, "NUM",
        columns=["text"], label_column="topic", labels=LABELS, max_length=300,
    )  # fmt: skip
    assert {problem.field for problem in shown.problems} == {"prompt.system", "prompt.user", "prompt.assistant"}


def test_control_tokens_in_the_data_are_pointed_out(models):
    shown = preview(
        SPEC, models["llama-3"], {"text": "bye <|eot_id|> NUM"}, "NUM",
        columns=["text"], label_column="topic", labels=LABELS, max_length=300,
    )  # fmt: skip
    assert [(problem.field, problem.severity) for problem in shown.problems] == [("mapping.text", "warning")]
    assert shown.segments


def test_a_prompt_kept_as_json_is_the_same_prompt(models):
    prompt = ready(models["mistral"], R4)
    again = prompt_from_content(json.loads(json.dumps(prompt_content(prompt))), models["mistral"])
    assert again == prompt


def test_free_answers_are_read_as_labels_or_not(models):
    prompt = ready(models["llama-3"])
    exact = list(prompt.answers[3].ids)
    said = [models["llama-3"].ids(words) for words in (" HUM\n", "HUM or LOC", "", "NUM count<|eot_id|> and more")]
    assert answered_labels(prompt, [exact, *said]) == ["HUM", "HUM", None, None, "NUM count"]


def test_a_saved_tokenizer_is_read_as_transformers_reads_it(shared_data, tmp_path):
    fast_tokenizer("llama-3").save_pretrained(tmp_path)
    prompt = ready(read_model_tokenizer(tmp_path))
    assert prompt.tokenizer.has_own_template
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    user = f"Which of {', '.join(LABELS)} is this?\n\nWho?\nOne word."
    messages = [{"role": "user", "content": user}]
    expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert encode_prompts(prompt, [{"text": "Who?"}])[0].ids == expected


def test_a_transformers_tokenizer_is_shared_without_harm(shared_data):
    theirs = fast_tokenizer("mistral")
    theirs.pad_token = "<unk>"
    theirs(["Who is it ?", "Who?"], padding="max_length", truncation=True, max_length=3)
    tokenizer = model_tokenizer(theirs.backend_tokenizer, theirs.get_chat_template(), theirs.special_tokens_map)
    assert encode_prompts(ready(tokenizer), [{"text": "Who?"}]) == encode_prompts(
        ready(model_tokenizer(*kinds()["mistral"])), [{"text": "Who?"}]
    )
    assert len(theirs("Who is it that came in the end ?", truncation=True, max_length=3)["input_ids"]) == 3


def test_a_base_model_gets_the_fallback_and_a_missing_tokenizer_is_told(shared_data, tmp_path):
    llama_3_tokens().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="eos_token"):
        read_model_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "<|end_of_text|>"}, "bos_token": "<|begin_of_text|>"})
    )
    tokenizer = read_model_tokenizer(tmp_path)
    assert not tokenizer.has_own_template
    assert encode_prompts(ready(tokenizer), [{"text": "Who?"}])[0].text.endswith("Who?\nOne word.\n\n### Answer:\n")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        read_model_tokenizer(tmp_path)


def test_the_page_needs_no_torch():
    code = "import core.prompt_preview, core.chat_rows, sys; sys.exit(bool({'torch', 'transformers'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
