"""The division of conversations: seeded, frozen, nothing left out without being counted, and what the checks say."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.chat_rows import Conversation, suggest_chat_columns
from core.data import chat_split, conversations
from core.data.chat_checks import check_chat
from core.data.conversations import likely_chat
from core.data.examples import conversation_of, conversation_text, read_conversations, read_data_facts
from core.data.mapping import suggest_mapping
from core.data.split import write_split
from core.data.table import open_table
from core.errors import UserError
from core.schema import ChatColumns, DataSpec, MappingSpec, SplitSpec, TableFile
from core.workspace import Workspace
from tests.chat_runs import chat_spec, write_lines

FILES = {
    "alpaca_2k.json": (2000, 0),
    "alpaca_gpt4_en_1k.json": (999, 0),
    "alpaca_zh_2k.jsonl": (1996, 4),
    "roleplay_1900.jsonl": (1923, 0),
    "chat_messages_1k.jsonl": (999, 0),
    "toolcall_sharegpt_300.json": (300, 0),
}
"""Conversations and rows that are none."""


def talks(count: int) -> list[dict]:
    return [{"instruction": f"Say {number}", "output": f"It is {number}."} for number in range(count)]


def listed(*turns: tuple[str, str]) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def checked(workspace: Workspace, file: Path, **columns: str) -> list:
    spec = chat_spec(file, **columns)
    return check_chat({"train": open_table(spec.data.train, workspace)}, spec.mapping, spec.split)


@pytest.mark.parametrize("name", FILES)
def test_real_files_become_conversations(shared_data: Path, workspace: Workspace, name: str) -> None:
    table = open_table(TableFile(path=str(shared_data / "sft" / name)), workspace)
    form = likely_chat(table, suggest_mapping(table))
    assert form is not None
    spec = chat_spec(table.path, **{role: column for role, column in form.model_dump().items() if column})
    folder = workspace.run("a")
    facts = write_split(spec, workspace, folder)
    usable, left_out = FILES[name]
    assert (sum(facts.parts.values()), facts.left_out) == (usable, {"no_conversation": left_out})
    assert facts.parts["test"] == facts.parts["validation"] == round(usable / 10)
    assert (facts.labels, facts.class_counts) == ([], {})
    split = pq.read_table(folder.split).to_pydict()
    assert sorted(split["row"]) == sorted(set(split["row"]))
    ids, found = read_conversations(folder, "test")
    assert len(found) == len(ids) == facts.parts["test"]
    assert all(talk.messages[-1]["role"] == "assistant" for talk in found)
    assert any(talk.tools for talk in found) == name.startswith("toolcall")
    rows = dict(zip(pq.read_table(folder.examples)["row_id"].to_pylist(), split["row"], strict=True))
    source = (shared_data / "sft" / name).read_text(encoding="utf-8")
    entries = [json.loads(line) for line in source.splitlines()] if name.endswith("l") else json.loads(source)
    answers = {"response": "response", "output": "output"}
    for row_id, talk in zip(ids[:20], found[:20], strict=True):
        entry = entries[rows[int(row_id)]]
        if form.response:
            assert talk.messages[-1]["content"] == entry[answers[form.response]].strip()
        else:
            said = [turn.get("content", turn.get("value")).strip() for turn in entry[form.conversation]]
            assert [m["content"] for m in talk.messages] == said[: len(talk.messages)]


def test_the_same_seed_gives_the_same_division_and_it_is_frozen(workspace: Workspace) -> None:
    file = write_lines(workspace.root / "a.jsonl", talks(100))
    spec = chat_spec(file)
    write_split(spec, workspace, workspace.run("a"))
    write_split(spec, workspace, workspace.run("b"))
    first, second = (pq.read_table(workspace.run(name).split) for name in "ab")
    assert first.equals(second)
    other = spec.model_copy(update={"split": SplitSpec(seed=7)})
    write_split(other, workspace, workspace.run("c"))
    assert not pq.read_table(workspace.run("c").split).equals(first)
    file.unlink()
    assert write_split(spec, workspace, workspace.run("a")) == read_data_facts(workspace.run("a"))


def test_files_of_their_own_are_one_part_each(workspace: Workspace) -> None:
    train = write_lines(workspace.root / "train.jsonl", talks(50))
    test = write_lines(workspace.root / "test.jsonl", [*talks(3), {"instruction": "New?", "output": "Yes."}] * 3)
    spec = chat_spec(train)
    spec = spec.model_copy(update={"data": DataSpec(train=spec.data.train, test=TableFile(path=str(test)))})
    facts = write_split(spec, workspace, workspace.run("a"))
    assert facts.parts == {"train": 45, "validation": 5, "test": 12}
    learned = {conversation_text(talk) for talk in read_conversations(workspace.run("a"), "train")[1]}
    tested = [conversation_text(talk) for talk in read_conversations(workspace.run("a"), "test")[1]]
    (finding,) = [finding for finding in facts.findings if finding["kind"] == "shared_text"]
    assert finding["count"] == sum(text in learned for text in tested)
    assert finding["where"] == "test.jsonl"


def test_what_is_no_conversation_is_counted_by_reason(workspace: Workspace) -> None:
    good = [listed(("user", f"q {n}"), ("assistant", f"a {n}")) for n in range(30)]
    bad = [listed(("user", "only a question")), listed(("wizard", "x")), {"messages": "no list"}] * 2
    file = write_lines(workspace.root / "a.jsonl", [*good, *bad])
    facts = write_split(chat_spec(file, conversation="messages"), workspace, workspace.run("a"))
    assert facts.left_out == {"no_conversation": 6}
    told = {finding["what"] for finding in facts.findings if finding["kind"] == "no_conversation"}
    assert any("2 rows are left out: it holds no answer" in what and "(rows 31, 34)" in what for what in told)
    assert any("'wizard'" in what and "(rows 32, 35)" in what for what in told)
    assert any("does not hold a list" in what and "(rows 33, 36)" in what for what in told)
    assert all(finding["severity"] == "warning" for finding in facts.findings)


def test_endless_reasons_are_put_together(workspace: Workspace) -> None:
    bad = [listed((f"role {n}", "x")) for n in range(200)]
    good = [listed(("user", "q"), ("assistant", f"a {n}")) for n in range(300)]
    found = [f for f in checked(workspace, write_lines(workspace.root / "a.jsonl", [*bad, *good]),
                                conversation="messages") if f.kind == "no_conversation"]  # fmt: skip
    assert len(found) == 6
    assert sum(finding.count for finding in found) == 200


def test_a_file_of_other_things_is_refused_with_an_example(workspace: Workspace) -> None:
    rows = [*({"messages": f"just words {n}"} for n in range(30)), *(listed(("user", "q"), ("assistant", "a")),) * 20]
    file = write_lines(workspace.root / "a.jsonl", rows)
    with pytest.raises(UserError) as caught:
        write_split(chat_spec(file, conversation="messages"), workspace, workspace.run("a"))
    assert "30 of 50 rows are no conversations" in caught.value.what
    assert "Row 1, for example: column 'messages' does not hold a list of messages." in caught.value.what
    assert "just words 0" in caught.value.what
    assert not workspace.run("a").split.exists()


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (talks(9), {}, "Only 9 rows are conversations"),
        (talks(20), {"instruction": "instruction", "response": "answer"}, "Column 'answer' is not in a.jsonl"),
        (talks(20), {"instruction": "output", "response": "output"}, "both what is asked and what is answered"),
    ],
)
def test_data_that_cannot_be_learned_from(workspace: Workspace, rows: list, columns: dict, words: str) -> None:
    findings = checked(workspace, write_lines(workspace.root / "a.jsonl", rows), **columns)
    assert findings[0].severity == "error"
    assert words in findings[0].what


def test_a_share_that_leaves_nothing_is_an_error(workspace: Workspace) -> None:
    spec = chat_spec(write_lines(workspace.root / "a.jsonl", talks(20)))
    table = open_table(spec.data.train, workspace)
    found = check_chat({"train": table}, spec.mapping, SplitSpec(test=0.01))
    assert [finding.kind for finding in found if finding.severity == "error"] == ["empty_part"]


def test_columns_of_classes_beside_a_question_and_answer_are_no_conversation(workspace: Workspace) -> None:
    rows = [{**row, "category": f"c{number % 3}"} for number, row in enumerate(talks(60))]
    table = open_table(TableFile(path=str(write_lines(workspace.root / "a.jsonl", rows))), workspace)
    assert suggest_chat_columns(table.names) is not None
    assert likely_chat(table, suggest_mapping(table)) is None


def test_many_rows_go_in_batches_and_keep_their_order(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_split, "BATCH", 7)
    monkeypatch.setattr(conversations, "ROWS_AT_ONCE", 5)
    rows = talks(100)
    rows[3]["output"] = rows[99]["output"] = ""
    write_split(chat_spec(write_lines(workspace.root / "a.jsonl", rows)), workspace, workspace.run("a"))
    table = pq.read_table(workspace.run("a").examples)
    assert table["row_id"].to_pylist() == list(range(98))
    assert table["row"].to_pylist() == [number for number in range(100) if number not in (3, 99)]
    assert pq.ParquetFile(workspace.run("a").examples).num_row_groups == 14
    said = [conversation_of(text).messages[-1]["content"] for text in table["text"].to_pylist()]
    assert said[:4] == ["It is 0.", "It is 1.", "It is 2.", "It is 4."]
    lengths = [len(row["instruction"]) + len(row["output"]) for row in rows]
    part = np.array(table["part"].to_pylist()) == "train"
    train = [lengths[row] for row in np.array(table["row"])[part]]
    assert read_data_facts(workspace.run("a")).lengths["max"] == max(train)


def test_a_conversation_comes_back_as_it_was() -> None:
    talk = Conversation(
        ({"role": "user", "content": "ねえ <b>"}, {"role": "assistant", "content": "“ok”\n"}),
        ({"name": "f", "p": [1]},),
    )
    assert conversation_of(conversation_text(talk)) == talk


def test_half_a_character_does_not_break_the_split(workspace: Workspace) -> None:
    """JSON can escape what no file can hold."""
    rows = [listed(("user", f"q {n} \ud83d"), ("assistant", f"a {n}")) for n in range(20)]
    file = write_lines(workspace.root / "a.jsonl", [{"messages": json.dumps(row["messages"])} for row in rows])
    write_split(chat_spec(file, conversation="messages"), workspace, workspace.run("a"))
    assert read_conversations(workspace.run("a"), "train")[1][0].messages[0]["content"].endswith("?")


def test_a_mapping_of_messages_needs_no_other_column() -> None:
    assert MappingSpec(kind="none", chat=ChatColumns(conversation="messages")).label == ""
