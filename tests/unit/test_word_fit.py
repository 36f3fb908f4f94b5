"""Which texts a tokenizer was not made for, on real texts of several languages, and what is then said."""

import csv

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from core.data.table import open_table
from core.evaluation.language_verdict import with_language
from core.evaluation.paired import Difference
from core.evaluation.verdict import Comparison, Verdict
from core.model_findings import language_findings
from core.models.tokenizer_files import tokenizer_folder
from core.models.word_fit import MULTILINGUAL, fit_words, word_fit
from core.presets import find_preset
from core.schema import PACKAGED_ENCODER, MappingSpec, ModelSpec, TableFile

ENGLISH_MODEL = ModelSpec(source=PACKAGED_ENCODER)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(tokenizer_folder(ENGLISH_MODEL) / "tokenizer.json"))


def texts_of(folder):
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)][:600]


@pytest.mark.parametrize("data", ["trec", "clinc150", "sms_spam", "banking77"])
def test_english_texts_fit_an_english_model(shared_data, tokenizer, data):
    fit = word_fit(tokenizer, texts_of(shared_data / data))
    assert fit.fits and fit.whole > 0.85 and fit.script == "Latin"


@pytest.mark.parametrize(
    ("data", "script", "said"),
    [("sentipers_fa", "Arabic", "of their words"), ("rusentitweet", "Cyrillic", "of their words"),
     ("waimai_zh", "East Asian", "of their characters")],
)  # fmt: skip
def test_other_languages_do_not(shared_data, tokenizer, data, script, said):
    fit = word_fit(tokenizer, texts_of(shared_data / data))
    assert not fit.fits and fit.whole < 0.3 and fit.script == script
    assert said in fit_words(fit) and f"{script} script" in fit_words(fit)
    assert ("unknown to it" in fit_words(fit)) == (data == "waimai_zh")


@pytest.mark.parametrize(("data", "found"), [("sentipers_fa", 1), ("trec", 0)])
def test_it_is_found_before_training(shared_data, workspace, data, found):
    table = open_table(TableFile(path=str(shared_data / data / "train.csv")), workspace)
    findings = language_findings(table, MappingSpec(text=("text",), label="label"), ENGLISH_MODEL)
    assert len(findings) == found
    assert all(MULTILINGUAL in finding.todo and finding.severity == "warning" for finding in findings)


def test_the_verdict_suggests_a_multilingual_base_only_where_the_baseline_is_as_good(shared_data, tokenizer):
    no_f1 = Difference(0.0, [0.0, 0.0], 1.0, "unclear")
    fits = {data: vars(word_fit(tokenizer, texts_of(shared_data / data))) for data in ("sentipers_fa", "trec")}
    for outcome in ("worse", "unclear", "better"):
        compared = {"tfidf": Comparison("tfidf", 10, 10, 0.5, outcome, no_f1)}
        judged = Verdict(("Headline.", "Then."), "bad", compared, ())
        told = with_language(judged, fits["sentipers_fa"])
        assert (told is judged) == (outcome == "better")
        if outcome != "better":
            assert told.sentences[0] == "Headline." and MULTILINGUAL in told.sentences[1]
        assert with_language(judged, fits["trec"]) is judged and with_language(judged, None) is judged
    assert find_preset(MULTILINGUAL).model.source == "intfloat/multilingual-e5-small"


def test_nothing_is_said_of_a_few_words_or_of_a_tokenizer_that_does_not_know_english(tokenizer):
    assert word_fit(tokenizer, ["سلام دنیا"] * 20) is None
    own = Tokenizer(models.WordLevel({"[UNK]": 0, "سلام": 1, "دنیا": 2}, "[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    assert word_fit(own, ["سلام دنیا"] * 500) is None
