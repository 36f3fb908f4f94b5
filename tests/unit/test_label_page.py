"""The kind of label on the New run form and on the command line: chosen, kept, said in words, and the same run."""

import shlex
from pathlib import Path

import pytest

from core.chat_templates import ModelTokenizer
from core.cli.arguments import parse
from core.cli.mapping import mapping_of_options
from core.errors import UserError
from core.presets import load_presets
from core.runs.store import open_store
from core.schema import MappingSpec, TableFile
from core.workspace import Workspace
from tests.unit.labelled_tables import several_rows, table_file
from ui.new_run.cards import cards_html
from ui.new_run.chat_columns import choose_kind
from ui.new_run.columns import choose_columns
from ui.new_run.data_html import bars_html, preview_html
from ui.new_run.draft import by_columns, choose_preset, editing, misfit, missing, read_draft, spec_of, unfit
from ui.new_run.files import open_role
from ui.new_run.label_columns import (
    RARE_KEY,
    choose_label_columns,
    choose_place,
    choose_rare,
    choose_separator,
    counts_shown,
    draft_counts,
    follow_label,
    rare_words,
)
from ui.new_run.prompt_view import Tokenizers, class_names, look_at
from ui.new_run.reading import read_again
from ui.new_run.review_text import command_line, sentences
from ui.new_run.source import take_files

FLAG_HEADER = ("text", "tags", "a", "b", "label")

DETECTED = ("detect", "detect", "detect", "detect", "", "detect", "detect", "", "detect", "mend")
"""The reading options as they stand before anyone changes them; the names of the columns come last."""


def mixed(workspace: Workspace) -> Path:
    """One class, several classes and columns of 0 and 1 in one file."""
    rows = [
        (text, cell, number % 2, int(number % 3 == 0), "xyz"[number % 3])
        for number, (text, cell) in enumerate(several_rows(120))
    ]
    return Path(table_file(rows, workspace, FLAG_HEADER).path)


def soft(workspace: Workspace) -> Path:
    rows = [(f"a text about thing {n}", round(n / 120, 3), round(1 - n / 120, 3)) for n in range(120)]
    return Path(table_file(rows, workspace, ("text", "no", "yes")).path)


def test_each_kind_finds_its_columns_and_is_kept(workspace: Workspace) -> None:
    store = open_store(workspace)
    draft = take_files(workspace, store, "d", [str(mixed(workspace))], print)
    assert (draft.kind, draft.get("mapping.label")) == ("single", "label")
    table = open_role(workspace, draft, "train")
    choose_kind(store, "d", table, "multi")
    draft = read_draft(store, "d")
    assert (draft.kind, draft.get("mapping.label"), by_columns(draft)) == ("multi", "tags", False)
    assert draft.spec["mapping"]["text"] == ["text"]
    assert spec_of(draft).mapping.label_separator == ";"
    choose_place(store, "d", table, "each")
    draft = read_draft(store, "d")
    assert by_columns(draft)
    assert spec_of(draft).mapping.label_columns == ("a", "b")
    assert dict(draft_counts(draft, table)) == {"a": 60, "b": 40}
    choose_label_columns(store, "d", ["a"])
    assert "columns of the classes" in missing(read_draft(store, "d"))
    choose_place(store, "d", table, "one")
    assert spec_of(read_draft(store, "d")).mapping.label == "tags"
    choose_kind(store, "d", table, "single")
    assert spec_of(read_draft(store, "d")).mapping == MappingSpec(text=("text",), label="label")


def test_another_column_and_another_separator(workspace: Workspace) -> None:
    store = open_store(workspace)
    rows = [(text, one, two) for (text, one), (_, two) in zip(several_rows(200), several_rows(200, "|"), strict=True)]
    draft = take_files(workspace, store, "d", [table_file(rows, workspace, ("text", "tags", "topics")).path], print)
    table = open_role(workspace, draft, "train")
    assert (draft.kind, draft.get("mapping.label")) == ("multi", "topics")
    choose_columns(store, "d", ["text"], "tags", " ", False)
    assert follow_label(store, "d", table).get("mapping.label_separator") == ";"
    assert len(draft_counts(read_draft(store, "d"), table)) == 6
    choose_separator(store, "d", "/")
    assert len(draft_counts(read_draft(store, "d"), table)) > 6
    choose_separator(store, "d", None)
    assert read_draft(store, "d").get("mapping.label_separator") == ";"


def test_rare_classes_on_the_page(workspace: Workspace) -> None:
    store = open_store(workspace)
    rows = [*several_rows(120), *[(f"odd {n}", f"r{n}; cs.AI") for n in range(4)]]
    draft = take_files(workspace, store, "d", [table_file(rows, workspace, ("text", "tags")).path], print)
    table = open_role(workspace, draft, "train")
    counts = draft_counts(draft, table)
    assert (draft.kind, len(counts)) == ("multi", 10)
    assert counts_shown(draft, table, counts)[0] == counts
    draft = choose_rare(store, "d", "merge", "")
    assert (draft.get(RARE_KEY), draft.get("mapping.rare_classes")) == (10, "merge")
    assert dict(counts_shown(draft, table, counts)[0])["Other"] == 4
    assert "4 of 10 classes are made one" in rare_words(draft, counts)
    draft = choose_rare(store, "d", "drop", "3")
    assert len(counts_shown(draft, table, counts)[0]) == 6
    assert "4 of 10 classes are dropped" in rare_words(draft, counts)
    choose_rare(store, "d", "drop", "<b>many")
    draft = read_draft(store, "d")
    assert "&lt;b&gt;many" in rare_words(draft, counts)
    assert "rare" in missing(draft)
    with pytest.raises(UserError, match="rare below"):
        spec_of(draft)
    draft = choose_rare(store, "d", "keep", "7")
    assert (draft.get(RARE_KEY), draft.raw) == (0, {})


def test_columns_that_are_renamed_stay_chosen(workspace: Workspace) -> None:
    store = open_store(workspace)
    draft = take_files(workspace, store, "d", [str(soft(workspace))], print)
    assert (draft.kind, draft.get("mapping.label_columns")) == ("soft", ["no", "yes"])
    with editing(store, "d") as draft:
        draft.put("mapping.class_names", {"yes": "Yes!"})
    draft, said = read_again(workspace, store, "d", *DETECTED, "text\nnay\nyea")
    assert said == ""
    mapping = spec_of(draft).mapping
    assert (mapping.kind, mapping.label_columns, mapping.class_names) == ("soft", ("nay", "yea"), {"yea": "Yes!"})


def test_only_models_with_a_head_learn_more_than_one_class(workspace: Workspace) -> None:
    store = open_store(workspace)
    take_files(workspace, store, "d", [str(mixed(workspace))], print)
    with editing(store, "d") as draft:
        choose_preset(draft, "llama-3.2-1b-4bit")
        assert unfit(draft) == ""
    table = open_role(workspace, read_draft(store, "d"), "train")
    draft = choose_kind(store, "d", table, "multi")
    assert draft.spec["preset"] == "quickstart-minilm"
    assert any("the preset is now" in reason for reason in draft.reasons)
    choose_preset(draft, "llama-3.2-1b-4bit")
    assert draft.task == "classify"
    assert "a model with a head" in unfit(draft)
    with pytest.raises(UserError, match="cannot learn these labels"):
        spec_of(draft)
    choose_preset(draft, "llama-3.2-1b-head")
    assert spec_of(draft).mapping.kind == "multi"


@pytest.mark.parametrize("kind", ["single", "multi", "soft", "none"])
def test_cards_say_which_models_cannot_learn_the_kind(kind: str) -> None:
    presets = list(load_presets().values())
    misfits = {p.name: why for p in presets if (why := misfit(kind, p.model.family, p.model.method))}
    html = cards_html(presets, "quickstart-minilm", {}, has_gpu=True, misfits=misfits)
    assert html.count("Not for these data") == len(misfits)
    names = {preset.name for preset in presets if preset.name not in misfits}
    assert ("quickstart-minilm" in names) == (kind != "none")
    assert ("llama-3.2-1b-4bit" in names) == (kind in ("single", "none"))
    assert ("llama-3.2-1b-head" in names) == (kind != "none")


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "multi",
            {"rare_below": 0},
            [
                'on about <b dir="auto">96 rows</b>',
                "which of <b",
                "6 classes",
                "on average",
                "with <q>;</q> between them",
            ],
        ),
        ("multi", {"rare_below": 43}, ["Rare classes (fewer than 43 rows", "Other"]),
        ("multi", {"rare_below": 36, "rare_classes": "drop"}, ["1 class</b>) are dropped.", "5 classes"]),
        ("single", {"rare_below": 40}, ["apart (x, y, z)", 'stand in <b dir="auto">label</b>.']),
    ],
)
def test_the_review_says_the_kind_of_label(
    kind: str, changes: dict[str, object], words: list[str], workspace: Workspace
) -> None:
    store = open_store(workspace)
    table = open_role(workspace, take_files(workspace, store, "d", [str(mixed(workspace))], print), "train")
    choose_kind(store, "d", table, kind)
    with editing(store, "d") as draft:
        draft.spec["mapping"] |= changes
    spec = spec_of(draft)
    told = " ".join(sentences(draft, spec, {"train": table}))
    assert all(word in told for word in words)


def test_the_review_of_probabilities_and_of_columns(workspace: Workspace) -> None:
    store = open_store(workspace)
    draft = take_files(workspace, store, "d", [str(soft(workspace))], print)
    table = open_role(workspace, draft, "train")
    spec = spec_of(draft)
    told = sentences(draft, spec, {"train": table})[0]
    assert "how likely each of" in told
    assert '<b dir="auto">no</b> and <b dir="auto">yes</b>' in told


@pytest.mark.parametrize(
    "mapping",
    [
        MappingSpec(text=("text",), label="tags", kind="multi", label_separator="|", rare_below=7),
        MappingSpec(text=("text",), label="tags", kind="multi", label_separator=" ", rare_classes="drop", rare_below=3),
        MappingSpec(text=("text",), kind="multi", label_columns=("a", "b"), class_names={"a": "A's"}),
        MappingSpec(text=("text",), kind="soft", label_columns=("b", "a")),
        MappingSpec(text=("text",), label="label", rare_below=2),
    ],
)
def test_the_command_line_starts_the_same_run(mapping: MappingSpec, workspace: Workspace) -> None:
    store = open_store(workspace)
    take_files(workspace, store, "d", [str(mixed(workspace))], print)
    with editing(store, "d") as draft:
        draft.spec["mapping"] = mapping.model_dump(mode="json")
    spec = spec_of(draft)
    request = parse(shlex.split(command_line(spec).replace("\\\n", ""))[2:])
    assert mapping_of_options(request, spec.data.train, workspace) == mapping


def options(line: str, file: Path, workspace: Workspace) -> MappingSpec:
    return mapping_of_options(
        parse(["train", "--data", str(file), *shlex.split(line)]), TableFile(path=str(file)), workspace
    )


@pytest.mark.parametrize(
    ("line", "kind", "label", "columns"),
    [
        ("", "single", "label", ()),
        ("--multi", "multi", "tags", ()),
        ("--label tags --multi", "multi", "tags", ()),
        ("--label tags --label-separator '; '", "multi", "tags", ()),
        ("--label-columns a b", "multi", "", ("a", "b")),
        ("--text text --label-columns a b --soft", "soft", "", ("a", "b")),
        ("--label tags", "single", "tags", ()),
        ("--text text --label tags --set mapping.kind=multi", "multi", "tags", ()),
        ("--text text --set mapping.kind=multi --set 'mapping.label_columns=[a, b]'", "multi", "", ("a", "b")),
    ],
)
def test_options_and_guesses(line: str, kind: str, label: str, columns: tuple[str, ...], workspace: Workspace) -> None:
    mapping = options(line, mixed(workspace), workspace)
    assert (mapping.kind, mapping.label, mapping.label_columns, mapping.text) == (kind, label, columns, ("text",))


def test_a_separator_is_guessed_and_names_go_by_the_values(workspace: Workspace) -> None:
    file = Path(table_file(several_rows(200, "|"), workspace, ("text", "tags")).path)
    names = workspace.root / "names.txt"
    names.write_text("AI\nCL\nCV\nLG\nST\nML\n")
    mapping = options(f"--multi --label tags --class-names {names}", file, workspace)
    assert mapping.label_separator == "|"
    assert mapping.class_names == {
        "cs.AI": "AI", "cs.CL": "CL", "cs.CV": "CV", "cs.LG": "LG", "math.ST": "ST", "stat.ML": "ML",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "--multi --soft",
        "--label tags --label-columns a b",
        "--soft --label tags",
        "--label-separator ; --label-columns a b",
        "--label-separator ; --soft",
        "--chat --multi",
    ],
)
def test_options_that_contradict_each_other(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["train", "--data", "a.csv", *shlex.split(line.replace(";", "';'"))])
    assert left.value.code == 2
    assert "--" in capsys.readouterr().err


def test_what_cannot_be_guessed_is_asked_for(workspace: Workspace) -> None:
    file = Path(table_file([(f"text {n}", "xy"[n % 2]) for n in range(60)], workspace, ("text", "label")).path)
    with pytest.raises(UserError, match="cannot be told"):
        options("--soft", file, workspace)


def test_a_prompt_knows_the_classes_that_rare_ones_became(workspace: Workspace) -> None:
    """Of one class a row, the only kind that a model answers with in words."""

    def no_tokenizer(_model: object) -> ModelTokenizer:
        raise UserError("The model is not here.", "model.source", "Connect to the internet.")

    rows = [("odd one", "r"), *[(f"a text {n}", "xyz"[n % 3]) for n in range(60)]]
    store = open_store(workspace)
    draft = take_files(workspace, store, "d", [table_file(rows, workspace, ("text", "label")).path], print)
    table = open_role(workspace, draft, "train")
    choose_preset(draft, "llama-3.2-1b-4bit")
    for how, shown, classes in (("merge", (0, "Other"), ["Other", "x", "y", "z"]), ("drop", (1, "x"), ["x", "y", "z"])):
        draft.spec["mapping"] |= {"rare_below": 5, "rare_classes": how}
        mapping = spec_of(draft).mapping
        assert class_names(table, mapping) == classes
        row = look_at(workspace, draft, Tokenizers(no_tokenizer)).row
        assert (row.number, row.label) == shown


def test_classes_are_shown_one_by_one_and_escaped() -> None:
    rows = [{"text": "t", "tags": "a; <i>b</i>"}]
    html = preview_html(("text", "tags"), rows, 0, ["text"], "tags", {"a": "#123456"}, {"a": "<A>"}, ";")
    assert html.count("one-class") == 2
    assert "&lt;A&gt;" in html
    assert "&lt;i&gt;b&lt;/i&gt;" in html
    assert "#123456" in html


def test_bars_of_several_classes_are_shares_of_rows() -> None:
    html = bars_html([("a", 30), ("b", 15)], {}, "multi", 60)
    assert "50.0 %" in html
    assert "0.8 a row" in html
    assert "columns of the classes" in bars_html([], {}, "soft")
