"""Runs of several classes a row, and of probabilities, with a real model: label files, score files, take it away."""

import csv
import json
from ast import literal_eval
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from core.errors import UserError
from core.evaluate_run import evaluate_file
from core.evaluation.multi_label import multi_label_metrics
from core.evaluation.soft_label import soft_metrics
from core.export.bundle import export_folder
from core.export.loading import loading_code
from core.model_facts import ModelFacts, run_model_facts
from core.models.encoder import load_encoder, save_encoder
from core.predict import label_path
from core.predictor import load_predictor, predict_probabilities
from core.schema import Head, LabelKind, Pooling
from core.workspace import open_workspace
from tests.elsewhere import Elsewhere
from tests.label_kinds import TOPICS, WORDS, KindRun, add_kind_model, split_run

TEXTS = [f"{WORDS[2]} {WORDS[3]}", WORDS[4], f"{WORDS[0]} {WORDS[1]}", "nothing of the kind"]


def made(tmp_path_factory: pytest.TempPathFactory, kind: LabelKind) -> KindRun:
    place = tmp_path_factory.mktemp(kind)
    run = split_run(open_workspace(place / "workspace"), place / "table.csv", kind)
    add_kind_model(run)
    return run


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> KindRun:
    return made(tmp_path_factory, "multi")


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> KindRun:
    return made(tmp_path_factory, "soft")


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_gets_every_class_that_reaches_its_threshold(multi: KindRun, tmp_path: Path) -> None:
    facts = run_model_facts(multi.folder)
    source = written(tmp_path / "new.csv", [["text", "Labels"], *([text, "old"] for text in TEXTS), [" ", ""]])
    result = label_path(multi.folder.workspace, "a-run", source, tmp_path / "out.csv", 2)
    assert result.columns == ("predicted_labels", "label", "probability", "label_2", "probability_2")
    rows = read_csv(tmp_path / "out.csv")
    said = predict_probabilities(load_predictor(multi.folder.model), TEXTS)
    assert said.sum(axis=1).max() > 1.1
    for row, shares in zip(rows, said, strict=False):
        given = [
            label for label, share, least in zip(facts.labels, shares, facts.thresholds, strict=True) if share >= least
        ]
        assert row["predicted_labels"] == "; ".join(given)
        assert row["Labels"] == "old"
        order = np.argsort(-shares)
        assert [row["label"], row["label_2"]] == [facts.labels[number] for number in order[:2]]
        assert float(row["probability"]) == pytest.approx(shares.max(), abs=1e-5)
    assert rows[0]["predicted_labels"] == "sport; trade"
    assert [rows[4][name] for name in result.columns] == [""] * 5
    label_path(multi.folder.workspace, "a-run", source, tmp_path / "out.parquet")
    content = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert content["predicted_labels"] == [*(row["predicted_labels"] for row in rows[:4]), None]


def test_a_file_gets_the_likeliest_class_and_the_whole_distribution(soft: KindRun, tmp_path: Path) -> None:
    facts = run_model_facts(soft.folder)
    source = written(tmp_path / "new.csv", [["text"], *([text] for text in TEXTS)])
    result = label_path(soft.folder.workspace, "a-run", source, tmp_path / "out.csv")
    assert result.columns == ("label", "probability", *(f"probability of {label}" for label in facts.labels))
    rows = read_csv(tmp_path / "out.csv")
    said = predict_probabilities(load_predictor(soft.folder.model), TEXTS)
    for row, shares in zip(rows, said, strict=True):
        assert row["label"] == facts.labels[int(shares.argmax())]
        assert [float(row[f"probability of {label}"]) for label in facts.labels] == pytest.approx(shares, abs=1e-5)
        assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_a_labelled_file_of_several_classes_is_scored(multi: KindRun, tmp_path: Path) -> None:
    facts = run_model_facts(multi.folder)
    rows = [
        [TEXTS[0], "trade;sport"],
        [TEXTS[1], "ساده; never learned"],
        [TEXTS[2], "never learned;another"],
        [TEXTS[3], ""],
        ["", "sport"],
        [TEXTS[2], "[]"],
    ]
    file = written(tmp_path / "new.csv", [["text", "topics"], *rows])
    result = evaluate_file(multi.folder.workspace, "a-run", file)
    assert result["left_out"] == {"empty_text": 1, "empty_label": 1, "label_not_in_model": 1}
    assert result["unknown_labels"] == {"never learned": 2, "another": 1}
    assert (result["kind"], result["rows"], result["scored"]) == ("multi", 6, 3)
    true = np.zeros((3, len(facts.labels)), np.float32)
    true[0, [facts.labels.index("sport"), facts.labels.index("trade")]] = 1
    true[1, facts.labels.index("ساده")] = 1
    said = predict_probabilities(load_predictor(multi.folder.model), [TEXTS[0], TEXTS[1], TEXTS[2]])
    expected = multi_label_metrics(true, said, np.array(facts.thresholds), facts.labels)
    assert result["metrics"]["per_class"] == expected["per_class"]
    assert result["metrics"]["micro_f1"] == expected["micro_f1"]
    assert "taken off 3 times" in result["notes"][0]
    renamed = written(tmp_path / "other.csv", [["text", "tags"], [TEXTS[0], "trade;sport"]])
    assert evaluate_file(multi.folder.workspace, "a-run", renamed, label_column="tags")["scored"] == 1
    with pytest.raises(UserError, match="'topics'"):
        evaluate_file(multi.folder.workspace, "a-run", renamed)


def test_a_file_of_probabilities_is_scored(soft: KindRun, tmp_path: Path) -> None:
    facts = run_model_facts(soft.folder)
    order = list(reversed(TOPICS))
    shares = np.random.default_rng(0).dirichlet(np.ones(len(order)), 3)
    rows = [[text, *map(str, row)] for text, row in zip(TEXTS, shares, strict=False)]
    file = written(tmp_path / "new.csv", [["text", *order], *rows, ["no numbers", *[""] * len(order)]])
    result = evaluate_file(soft.folder.workspace, "a-run", file)
    assert (result["rows"], result["scored"], result["left_out"]["empty_label"]) == (4, 3, 1)
    true = shares[:, [order.index(label) for label in facts.labels]].astype(np.float32)
    said = predict_probabilities(load_predictor(soft.folder.model), TEXTS[:3])
    expected = soft_metrics(true, said, facts.labels)
    assert result["metrics"]["kl_divergence"] == pytest.approx(expected["kl_divergence"], abs=1e-5)
    assert result["metrics"]["confusion"] == expected["confusion"]
    with pytest.raises(UserError, match="one label column cannot be compared"):
        evaluate_file(soft.folder.workspace, "a-run", file, label_column="sport")


def printed(elsewhere: Elsewhere, facts: ModelFacts, place: Path, text: str) -> list[str]:
    """What the lines of the card print about a text, run as they stand in a process without this project."""
    lines = loading_code(facts, str(place)).replace('text = "Write a text here"', f"text = {json.dumps(text)}")
    return elsewhere.printed(lines, place.parent).splitlines()


def test_the_lines_of_the_card_give_the_same_classes(multi: KindRun, elsewhere: Elsewhere, tmp_path: Path) -> None:
    facts = run_model_facts(multi.folder)
    place = export_folder(multi.folder, tmp_path / "taken")
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "multi_label_classification"
    assert config["thresholds"] == list(facts.thresholds)
    given, shares = printed(elsewhere, facts, place, TEXTS[0])
    assert sorted(literal_eval(given)) == ["sport", "trade"]
    (said,) = predict_probabilities(load_predictor(multi.folder.model), [TEXTS[0]])
    assert [literal_eval(shares)[label] for label in facts.labels] == pytest.approx(said, abs=1e-4)


def test_the_lines_of_the_card_give_the_same_distribution(soft: KindRun, elsewhere: Elsewhere, tmp_path: Path) -> None:
    facts = run_model_facts(soft.folder)
    place = export_folder(soft.folder, tmp_path / "taken")
    *_, shares = printed(elsewhere, facts, place, TEXTS[0])
    (said,) = predict_probabilities(load_predictor(soft.folder.model), [TEXTS[0]])
    found = {entry["label"]: entry["score"] for entry in literal_eval(shares)}
    assert [found[label] for label in facts.labels] == pytest.approx(said, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "head", "pooling"),
    [("multi", "two-layer", "both"), ("soft", "linear", "mean"), ("single", "two-layer", "first")],
)
def test_the_lines_for_a_head_of_our_own_give_the_same(
    multi: KindRun, elsewhere: Elsewhere, tmp_path: Path, kind: LabelKind, head: Head, pooling: Pooling
) -> None:
    own = multi.spec.model.model_copy(update={"head": head, "pooling": pooling, "head_size": 16})
    labels = multi.facts.labels
    torch.manual_seed(0)
    model, tokenizer = load_encoder(own, labels, kind)
    place = tmp_path / "model"
    place.mkdir()
    save_encoder(model, tokenizer, place)
    content = json.loads((multi.folder.model / "tunedesk.json").read_text(encoding="utf-8"))
    content |= {"label_kind": kind, "head": head, "pooling": pooling, "head_size": 16, "architecture": "bert"}
    content |= {"thresholds": [0.5, 0.4, 0.3, 0.2, 0.6, 0.5] if kind == "multi" else []}
    (place / "tunedesk.json").write_text(json.dumps(content), encoding="utf-8")
    predictor = load_predictor(place)
    (said,) = predict_probabilities(predictor, [TEXTS[0]])
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    (place / "config.json").write_text(json.dumps({**config, "thresholds": content["thresholds"]}), encoding="utf-8")
    first, *rest = printed(elsewhere, predictor.facts, place, TEXTS[0])
    if kind == "multi":
        given = [
            label for label, share, least in zip(labels, said, content["thresholds"], strict=True) if share >= least
        ]
        assert literal_eval(first) == given
        shown = literal_eval(rest[0])
    else:
        likeliest = labels[int(said.argmax())]
        assert first.startswith(f"{likeliest} {{")
        shown = literal_eval(first.removeprefix(f"{likeliest} "))
    assert [shown[label] for label in labels] == pytest.approx(said, abs=1e-4)
