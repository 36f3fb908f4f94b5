"""The report of a run that learned from conversations: what it says, honest where training did not help."""

import json
import math
from html.parser import HTMLParser

import pytest

from core.data.examples import DataFacts
from core.evaluation.chat_report import ChatSample, chat_verdict, choices_words, write_chat_report
from core.spec_files import read_spec
from core.workspace import Workspace
from tests.chat_runs import TRAINING, TUNED, UNTUNED, write_chat_run
from tests.report_schema import assert_described

EVIL = "<img src=x onerror=alert(1)>"


def figures(loss: float, rows: int = 100) -> dict[str, float]:
    return {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf, "tokens": 900, "rows": rows}


def test_better_is_told_as_how_much_likelier_the_right_words_are() -> None:
    sentences, tone = chat_verdict(figures(1.0), figures(1.0 + math.log(2)))
    assert sentences[0] == (
        "On 100 unseen conversations the right next word is 2.00 times as likely as before training "
        "(loss 1.693 before training, 1.000 after)."
    )
    assert sentences[1].startswith("Perplexity 2.72 (before: 5.44): at each step it is as unsure")
    assert "not whether what it says is true" in sentences[-1]
    assert tone == "good"


@pytest.mark.parametrize(
    ("after", "before", "words", "tone"),
    [
        (1.5, 1.4, "Training did not help", "bad"),
        (1.5, 1.5, "Training did not help", "bad"),
        (1.5, 1.51, "Training hardly changed it", "caution"),
        (1.5, 1.6, "times as likely as before training", "good"),
        (math.nan, 1.6, "Training went wrong", "bad"),
        (math.inf, 1.6, "Training went wrong", "bad"),
        (1.5, math.nan, "that of the untuned model is not a number", "caution"),
        (1.5, 5000.0, "times as likely as before training", "good"),
    ],
)
def test_no_gain_is_said_first(after: float, before: float, words: str, tone: str) -> None:
    sentences, found = chat_verdict(figures(after), figures(before))
    assert words in sentences[0]
    assert found == tone


def test_without_the_untuned_model_nothing_is_claimed() -> None:
    sentences, tone = chat_verdict(figures(1.5), None)
    assert "whether training helped is not known" in sentences[0]
    assert "before:" not in " ".join(sentences)
    assert tone == "caution"


def test_few_conversations_are_rough() -> None:
    sentences, tone = chat_verdict(figures(1.0, rows=1), figures(2.0, rows=1))
    assert "1 unseen conversation " in sentences[0]
    assert "The test part is small (1 conversation), so these figures are rough." in sentences
    assert tone == "caution"


def test_perplexity_in_few_figures() -> None:
    assert [choices_words(value) for value in (3.2444, 41.26, 1299.6)] == ["3.24", "41.3", "1,300"]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_files_hold_the_samples_as_text(workspace: Workspace) -> None:
    folder = write_chat_run(workspace, "a", EVIL)
    report = json.loads((folder.report / "report.json").read_text(encoding="utf-8"))
    assert report["task"] == "chat"
    assert report["schema_version"] == 1
    assert report["test"] == {"rows": 6, **TUNED}
    assert report["untuned"] == {"rows": 6, **UNTUNED}
    assert report["samples"][0]["expected"] == f"Because {EVIL}"
    assert report["settings"]["data"]["train"]["path"] == "talks.jsonl"
    assert report["verdict"] == " ".join(report["verdict_sentences"])
    html = (folder.report / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert "img" not in page.tags
    assert page.text.count(f"Because {EVIL}") == page.text.count(f"Yes {EVIL}") == page.text.count(f"No {EVIL}") == 2
    assert "svg" in page.tags
    assert "http" not in html.replace("http-equiv", "")
    assert not (folder.report / "predictions.parquet").exists()
    assert {path.name for path in (folder.report / "figures").iterdir()} == {"loss.svg", "loss.png"}
    assert_described(report)


def test_no_answer_of_the_untuned_model_leaves_its_column_out(workspace: Workspace) -> None:
    folder = write_chat_run(workspace, "a")
    facts = json.loads(folder.data_facts.read_text(encoding="utf-8"))
    talk = [{"role": "user", "content": f"turn {number}"} for number in range(9)]
    sample = ChatSample(talk, "right", None, "")
    write_chat_report(
        folder, read_spec(folder.spec), DataFacts(**facts), scores={"tuned": TUNED}, samples=[sample], training=TRAINING
    )
    page = Page()
    page.feed((folder.report / "report.html").read_text(encoding="utf-8"))
    assert "Before training" not in page.text
    assert "(nothing)" in page.text
    assert "3 messages before" in page.text
    assert "turn 8" in page.text
    assert "turn 2" not in page.text
    assert json.loads((folder.report / "report.json").read_text(encoding="utf-8"))["untuned"] is None
