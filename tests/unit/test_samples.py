"""The data sets that the program brings itself."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from core.data.checks import check_data
from core.data.samples import AREAS, make_docstrings, open_sample, samples
from core.data.table import open_table
from core.errors import UserError
from core.schema import SplitSpec
from core.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def made(place: Workspace) -> tuple[Path, Path]:
    return make_docstrings(place)


def rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def test_docstrings_are_a_few_thousand_of_all_areas(made: tuple[Path, Path]) -> None:
    train, test = map(rows, made)
    assert 2000 < len(train) < 4500
    assert 0.15 < len(test) / (len(train) + len(test)) < 0.25
    counts = Counter(label for _, label in train)
    assert set(counts) <= set(AREAS)
    assert len(counts) >= 8
    assert max(counts.values()) / len(train) < 0.2


def test_no_text_is_in_both_parts(made: tuple[Path, Path]) -> None:
    train, test = map(rows, made)
    texts = [text for text, _ in (*train, *test)]
    assert len(texts) == len(set(texts))


def test_made_the_same_twice(made: tuple[Path, Path], workspace: Workspace) -> None:
    again = make_docstrings(workspace)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]


def test_simple_words_tell_the_areas(made: tuple[Path, Path]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    (train, train_labels), (test, test_labels) = (zip(*rows(path), strict=True) for path in made)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=300))
    model.fit(train, train_labels)
    majority = Counter(test_labels).most_common(1)[0][1] / len(test)
    assert model.score(test, test_labels) > 0.6 > 2 * majority


def test_sample_opens_and_passes_the_checks(made: tuple[Path, Path], place: Workspace) -> None:
    sample = open_sample("docstrings", place)
    train, test = (open_table(file, place) for file in (sample.data.train, sample.data.test) if file)
    findings = check_data(train, None, test, sample.mapping, SplitSpec())
    assert [finding for finding in findings if finding.severity == "error"] == []


def test_samples_are_listed_and_unknown_ones_refused(workspace: Workspace) -> None:
    assert [sample.key for sample in samples()] == ["docstrings", "trec", "ag_news"]
    assert [sample.available_offline for sample in samples()] == [True, False, False]
    with pytest.raises(UserError, match="no sample 'nope'"):
        open_sample("nope", workspace)


def test_hub_sample_without_a_hub_is_explained(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"could not be fetched from the hub \(the hub is switched off"):
        open_sample("trec", workspace)
