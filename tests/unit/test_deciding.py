"""Choosing what a run's model answers: from wishes, saved beside everything else, shown in words, files and pages."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from core.cli.arguments import parse
from core.cli.deciding import decide as decide_command
from core.deciding import Wish, decide, decided, save_decision
from core.decision import AS_IT_IS, Decision, decision_sentences
from core.errors import UserError
from core.evaluation.abstaining import coverage_figures, label_set_figures, label_set_words
from core.evaluation.calibration import calibration_figures, fitted_temperature
from core.evaluation.sureness import coverage_chart, mark_places, reliability_chart, section_html
from core.export.card import model_card
from core.labelled_files import gives_sets, result_arrays, result_columns, result_types
from core.model_facts import run_model_facts
from core.workspace import RunFolder, Workspace
from tests.run_folders import run_spec, sureness_figures, write_report, write_run
from ui.run.label_file import about_html
from ui.run.sureness import saved_html, sureness_html
from ui.run.try_result import answer_words, shown_result

LABELS = ["ABBR", "<b>ENTY</b>", "NUM"]
RUN = "20261121-000000-aaaa"


@pytest.fixture
def folder(workspace: Workspace) -> RunFolder:
    """A finished run whose report has a curve to choose from; its model is of before there was a choice."""
    made = write_run(workspace, RUN, run_spec(), LABELS)
    report = write_report(made, LABELS, [0, 1, 2] * 10, [0, 1, 2] * 9 + [1, 1, 1]) | sureness_figures(len(LABELS))
    (made.report / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return made


def report_of(folder):
    return json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


def test_a_model_of_before_labels_every_row(folder: RunFolder) -> None:
    assert run_model_facts(folder).decision == AS_IT_IS


def test_what_is_chosen_is_kept_and_what_is_not_stays(folder: RunFolder) -> None:
    before = json.loads((folder.model / "tunedesk.json").read_text(encoding="utf-8"))
    save_decision(folder, Decision(temperature=1.5))
    assert decide(folder, Wish(accuracy=0.9)).abstain_below > 0
    kept = decide(folder, Wish(label_set="top", label_set_size=2))
    assert (kept.temperature, kept.label_set, kept.label_set_size) == (1.5, "top", 2)
    assert kept.abstain_below > 0
    assert run_model_facts(folder).decision == kept
    after = json.loads((folder.model / "tunedesk.json").read_text(encoding="utf-8"))
    assert {name: after[name] for name in before} == before
    assert decide(folder, Wish(abstain_below=0.0)).abstain_below == 0
    assert [path.name for path in folder.model.iterdir()] == ["tunedesk.json"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(abstain_below=1.5), "abstain_below is 1.5; it is a share"),
        (Wish(accuracy=-0.1), "accuracy is -0.1"),
        (Wish(accuracy=0.9, coverage=0.5), "each say where to stop"),
        (Wish(label_set_sum=90), "label_set_sum is 90"),
        (Wish(label_set_size=0), "label_set_size is 0"),
    ],
)
def test_a_wish_that_cannot_be_changes_nothing(folder: RunFolder, wish: Wish, words: str) -> None:
    before = (folder.model / "tunedesk.json").read_bytes()
    with pytest.raises(UserError, match=words):
        decide(folder, wish)
    assert (folder.model / "tunedesk.json").read_bytes() == before


def test_an_accuracy_out_of_reach_is_said_with_the_best_there_is(folder: RunFolder) -> None:
    report = report_of(folder)
    part = report["coverage"]["validation"]
    part["right"] = [right - 1 if right else 0 for right in part["right"]]
    with pytest.raises(UserError, match=r"No threshold makes 100\.0 % .* right; the best is 9\d\.\d %"):
        decided(run_model_facts(folder), report, Wish(accuracy=1.0))


def test_only_one_class_a_row_has_a_confidence_to_choose_by(workspace: Workspace) -> None:
    made = write_run(workspace, RUN, run_spec(), LABELS)
    with pytest.raises(UserError, match="has no curve of coverage and accuracy"):
        decide(made, Wish(coverage=0.9))
    content = json.loads((made.model / "tunedesk.json").read_text(encoding="utf-8"))
    several = content | {"label_kind": "multi", "thresholds": [0.5, 0.5, 0.5]}
    (made.model / "tunedesk.json").write_text(json.dumps(several), encoding="utf-8")
    with pytest.raises(UserError, match="may give a row several classes"):
        decided(run_model_facts(made), None, Wish(abstain_below=0.5))
    for changed, words in (({"label_kind": "soft"}, "how probable"), ({"task": "chat"}, "learned from conversations")):
        other = replace(run_model_facts(made), **{"thresholds": None, "label_kind": "single", **changed})
        with pytest.raises(UserError, match=words):
            decided(other, None, Wish())


def test_the_command_line_chooses_and_tells(folder: RunFolder) -> None:
    first = decide_command(parse(["decide", RUN]), folder.workspace)
    assert first.text.startswith("Every row gets a label.\nOn the test part it labels 100.0 % of rows at ")
    assert "goes down from" in first.text
    told = decide_command(parse(["decide", RUN, "--coverage", "0.6", "--label-set", "sum"]), folder.workspace)
    assert told.content["decision"]["label_set"] == "sum"
    assert told.content["decision"]["abstain_below"] == run_model_facts(folder).decision.abstain_below > 0.5
    assert json.loads(json.dumps(told.content)) == told.content
    with pytest.raises(SystemExit):
        parse(["decide", RUN, "--coverage", "0.6", "--accuracy", "0.9"])


def test_a_card_says_what_was_chosen(folder: RunFolder) -> None:
    decide(folder, Wish(accuracy=0.9))
    card = model_card(folder)
    assert "## How sure it is" in card
    assert "A row gets no label where its likeliest class has less than" in card
    assert "On the test part it labels" in card
    assert "is only left without a label where its likeliest class stays below the threshold" in card


SAID = np.array([[0.9, 0.06, 0.04], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], dtype=np.float32)


def columns(folder, decision, ranks=2):
    save_decision(folder, decision)
    facts = run_model_facts(folder)
    names = result_columns(["text"], ranks, facts.label_kind, facts.labels, sets=gives_sets(facts))
    arrays = result_arrays(facts, SAID, np.array([True, False, True, True]), ranks, ";")
    assert [array.type for array in arrays] == result_types(facts, ranks)
    return dict(zip(names, (array.to_pylist() for array in arrays), strict=True))


def test_rows_below_the_threshold_keep_their_probabilities_alone(folder: RunFolder) -> None:
    found = columns(folder, Decision(abstain_below=0.6))
    assert list(found) == ["label", "probability", "label_2", "probability_2"]
    assert found["label"] == ["ABBR", None, None, "NUM"]
    assert found["label_2"] == ["<b>ENTY</b>", None, None, "<b>ENTY</b>"]
    assert found["probability"] == pytest.approx([0.9, None, 0.5, 0.7], nan_ok=True)
    assert found["probability_2"][2] == pytest.approx(0.3)


def test_a_set_of_likely_classes_stands_before_the_label(folder: RunFolder) -> None:
    found = columns(folder, Decision(abstain_below=0.6, label_set="sum", label_set_sum=0.75), 1)
    assert list(found) == ["labels", "label", "probability"]
    assert found["labels"] == ["ABBR", None, "ABBR; <b>ENTY</b>", "<b>ENTY</b>; NUM"]
    few = columns(folder, Decision(label_set="top", label_set_size=2), 1)
    assert few["labels"] == ["ABBR; <b>ENTY</b>", None, "ABBR; <b>ENTY</b>", "<b>ENTY</b>; NUM"]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))


def test_the_section_of_the_report_shows_both_diagrams(folder: RunFolder) -> None:
    report = report_of(folder)
    page = section_html(report)
    assert Tags(page).tags.count("svg") == 2
    assert "Expected" not in page and "expected calibration error goes down from" in page
    assert "To be right on" in page
    bins = report["calibration"]["after"]["bins"]
    assert Tags(reliability_chart(report["calibration"])).tags.count("rect") == len(bins)


def test_the_diagrams_stand_where_there_is_next_to_nothing() -> None:
    true, said = np.zeros(3, dtype=int), np.eye(3, dtype=np.float32)
    fitted = fitted_temperature(true, said)
    report = {
        "calibration": calibration_figures(fitted, true, said, said),
        "coverage": coverage_figures({"validation": (true, said), "test": (true, said)}),
        "label_sets": label_set_figures(true, said),
    }
    page = section_html(report)
    assert "nan" not in page
    assert "too few to fit one on" in page
    assert "before the temperature" not in page
    assert len(mark_places(report["coverage"])) == 2
    assert coverage_chart(report["coverage"]).count("<svg") == 1


def test_the_page_stands_at_the_saved_threshold(folder: RunFolder) -> None:
    report = report_of(folder)
    decision = decide(folder, Wish(accuracy=0.9))
    page = Tags(sureness_html(report, decision))
    (slider,) = [attributes for attributes in page.attributes if attributes.get("type") == "range"]
    place = int(slider["value"])
    assert report["coverage"]["thresholds"][place] == decision.abstain_below
    (places,) = [json.loads(one["data-places"]) for one in page.attributes if "data-places" in one]
    assert {len(values) for values in places.values()} == {len(report["coverage"]["thresholds"])}
    assert places["said"][0].startswith("Without a threshold it labels 100.0 % of rows at ")
    part = report["coverage"]["test"]
    share = 100 * part["labelled"][place] / part["rows"]
    assert f"labels {share:.1f} % of rows at " in places["said"][place]


def test_words_for_what_holds(folder: RunFolder) -> None:
    assert decision_sentences(AS_IT_IS) == ["Every row gets a label."]
    report = report_of(folder)
    top = Decision(label_set="top", label_set_size=2)
    assert label_set_words(report["label_sets"], AS_IT_IS) == ""
    assert "The true class is among them in" in saved_html(report, top)
    assert "on average" in saved_html(report, Decision(label_set="sum"))
    assert about_html("single", Decision(abstain_below=0.9)).count("less than 90.0 %") == 1


def test_a_try_that_is_not_sure_enough_gets_no_label(folder: RunFolder) -> None:
    ranked = [("<b>ENTY</b>", 0.5), ("NUM", 0.4), ("ABBR", 0.1)]
    save_decision(folder, Decision(abstain_below=0.6, label_set="sum", label_set_sum=0.85))
    facts = run_model_facts(folder)
    shown = shown_result(facts, ranked, 80)
    assert ">No label</h3>" in shown
    assert "Together: &lt;b&gt;ENTY&lt;/b&gt;, NUM." in shown
    assert "<b>" not in shown
    assert 'style="left:60.0%"' in shown
    assert answer_words(facts, ranked) == "no label"
    save_decision(folder, AS_IT_IS)
    assert "&lt;b&gt;ENTY&lt;/b&gt;</h3>" in shown_result(run_model_facts(folder), ranked, 80)
