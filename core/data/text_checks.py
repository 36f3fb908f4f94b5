# ruff: noqa: S608  (column names become SQL through identifier() alone)
"""What the texts themselves show: none but ids, the same one everywhere, too short, in another script, or telling the
answer. Scripts and words are looked at in a sample of about SAMPLED_ROWS rows."""

import re
from collections import Counter

import duckdb
import numpy as np

from core.data.characters import characters
from core.data.cleaning import READ_OF_A_TEXT
from core.data.database import parquet_rows
from core.data.findings import EXAMPLES_SHOWN, Example, Finding, Fix, counted, listed
from core.data.leaks import TrainRows
from core.data.mapping import mapped_text_sql, suggest_mapping
from core.data.scripts import NAMES, foreign, letters, main_script

SAMPLED_ROWS = 20_000
SHORT = 3
"""Characters; a text with fewer says next to nothing in any script."""
FEWEST_TEXTS = 100
"""From so many rows on it is said that texts repeat, or that they look like ids."""
FEW_DISTINCT = 0.02
IDS = 0.9
TELLING, ELSEWHERE = 0.98, 0.005
"""A word tells a class where it stands in this share of its texts, and at most in that share of all others."""
FEWEST_TOLD = 50
"""Texts of a class in the sample below which a word tells nothing."""
WORD = re.compile(r"\w+")


def about_texts(database: duckdb.DuckDBPyConnection, train: TrainRows) -> list[Finding]:
    """Everything that the texts of train show. Nothing of them where none is used."""
    used = int(train.labels.used.sum())
    if not used:
        return []
    return [
        *_few_texts(database, train, used),
        *_like_ids(database, train, used),
        *_short(database, train, used),
        *_other_scripts(database, train),
        *_told(database, train),
    ]


def _every(train: TrainRows) -> int:
    return max(1, round(train.table.rows / SAMPLED_ROWS))


def _other_text(train: TrainRows) -> Fix | None:
    """The text columns that would be suggested for the file, where they are others."""
    mapping = train.mapping
    taken = {mapping.label, *mapping.label_columns}
    found = [name for name in suggest_mapping(train.table, mapping.kind).text if name not in taken]
    if not found or tuple(found) == mapping.text:
        return None
    return Fix(f"Read {' and '.join(name[:40] for name in found)} instead", {"mapping.text": found})


def _few_texts(database: duckdb.DuckDBPyConnection, train: TrainRows, used: int) -> list[Finding]:
    distinct = len(np.unique(train.texts.alike[train.labels.used]))
    if used < FEWEST_TEXTS or distinct > max(1, FEW_DISTINCT * used):
        return []
    columns = " + ".join(train.mapping.text)
    says = "the same text" if distinct == 1 else f"only {distinct:,} different texts"
    return [
        Finding(
            "error" if distinct == 1 else "warning",
            f"Column {columns} holds {says} in {used:,} rows: it looks like a category, not like text.",
            train.table.path.name,
            "Choose the column that holds the text.",
            distinct,
            "few_texts",
            "A model learns such a column by heart, and can say nothing of any other text.",
            train.examples(database, np.flatnonzero(train.labels.used)[:EXAMPLES_SHOWN]),
            _other_text(train),
            asks=True,
        )
    ]


def _like_ids(database: duckdb.DuckDBPyConnection, train: TrainRows, used: int) -> list[Finding]:
    """Texts without a word: numbers, dates, codes, one word of digits and letters."""
    row = database.execute(
        "SELECT count(*), count(*) FILTER (NOT regexp_matches(text, '\\pL') OR "
        "(regexp_matches(text, '[0-9]') AND regexp_full_match(text, '[\\w.:/@+-]+'))) "
        f"FROM (SELECT {mapped_text_sql(train.mapping)} AS text FROM {parquet_rows(train.table.parquet)} "
        f"WHERE hash(file_row_number) % {_every(train)} = 0) WHERE text <> ''"
    ).fetchone()
    looked, ids = row or (0, 0)
    if used < FEWEST_TEXTS or ids < IDS * looked:
        return []
    return [
        Finding(
            "warning",
            f"Column {' + '.join(train.mapping.text)} looks like ids or numbers, not like text "
            f"({100 * ids / looked:.0f} % of its cells).",
            train.table.path.name,
            "Choose the column that holds the text.",
            int(ids),
            "text_is_id",
            "There are no words to learn from.",
            train.examples(database, np.flatnonzero(train.labels.used)[:EXAMPLES_SHOWN]),
            _other_text(train),
            asks=True,
        )
    ]


def _short(database: duckdb.DuckDBPyConnection, train: TrainRows, used: int) -> list[Finding]:
    rows = np.flatnonzero(train.labels.used & (train.texts.lengths < SHORT))
    if not len(rows):
        return []
    return [
        Finding(
            "warning" if len(rows) > 0.05 * used else "note",
            f"{counted(len(rows), 'text has', 'texts have')} fewer than {SHORT} characters.",
            train.table.path.name,
            f"Leave {'it' if len(rows) == 1 else 'them'} out if they say nothing.",
            len(rows),
            "short_text",
            "There is hardly anything to learn from, and the label may be about something that is not there.",
            train.examples(database, rows[:EXAMPLES_SHOWN]),
            Fix("Leave them out", {"data.cleaning.shorter_than": SHORT}),
        )
    ]


def _other_scripts(database: duckdb.DuckDBPyConnection, train: TrainRows) -> list[Finding]:
    every, found, numbers = _every(train), [], []
    for batch in characters(database, train.table, train.mapping, READ_OF_A_TEXT, every):
        found.append(letters(batch))
        numbers.append(batch.rows)
    counts = np.concatenate([np.zeros((0, len(NAMES)), dtype=np.int64), *found])
    main = main_script(counts)
    if main is None:
        return []
    numbered = np.concatenate(numbers)
    strange = foreign(counts, main) & train.labels.used[numbered]
    rows = numbered[strange]
    if not len(rows):
        return []
    scripts = Counter(NAMES[1 + int(number)] for number in counts[strange, 1:].argmax(axis=1))
    named = ", ".join(f"{name} {count:,}" for name, count in scripts.most_common(3))
    return [
        Finding(
            "note" if len(rows) < 0.02 * len(numbered) else "warning",
            f"{counted(len(rows), 'text is', 'texts are')} in another script than the rest, which is {NAMES[main]} "
            f"({named}){_of_sample(train, len(numbered))}.",
            train.table.path.name,
            "Leave them out if the model need not read them.",
            len(rows),
            "other_script",
            "Few examples of a language teach little of it, and a model made for one language cannot read another.",
            train.examples(database, rows[:EXAMPLES_SHOWN]),
            Fix("Leave them out", {"data.cleaning.other_scripts": "drop"}),
        )
    ]


def _of_sample(train: TrainRows, looked: int) -> str:
    return f", of {looked:,} of {train.table.rows:,} rows looked at" if _every(train) > 1 else ""


def _told(database: duckdb.DuckDBPyConnection, train: TrainRows) -> list[Finding]:
    """Classes that one word gives away: it stands in nearly all of their texts and in hardly any other."""
    if train.mapping.kind != "single" or len(train.labels.names) < 2:
        return []
    rows_of: Counter[int] = Counter()
    with_word: dict[int, Counter[str]] = {}
    in_all: Counter[str] = Counter()
    for row, text in _sampled_texts(database, train):
        label = int(train.labels.classes[train.labels.starts[row]])
        words = set(WORD.findall(text))
        rows_of[label] += 1
        with_word.setdefault(label, Counter()).update(words)
        in_all.update(words)
    looked, telling = sum(rows_of.values()), {}
    for label, count in rows_of.items():
        others = looked - count
        for word, here in with_word[label].most_common(20):
            elsewhere = in_all[word] - here
            if count >= FEWEST_TOLD and here >= TELLING * count and elsewhere <= ELSEWHERE * others:
                telling[train.labels.names[label]] = word
                break
    share = sum(rows_of[label] for label in rows_of if train.labels.names[label] in telling) / max(looked, 1)
    return [_telling_words(train, telling, share)] if telling else []


def _telling_words(train: TrainRows, telling: dict[str, str], share: float) -> Finding:
    own = [label for label, word in telling.items() if word in label.casefold()]
    by_itself = f" Of {len(own):,} it is the label's own word." if own else ""
    most = share >= 0.5
    return Finding(
        "warning" if most else "note",
        f"One word gives away {counted(len(telling), 'class', 'classes')} ({listed(list(telling))}): it stands in "
        f"nearly every text of {'it' if len(telling) == 1 else 'each'} and in hardly any other.{by_itself}",
        train.table.path.name,
        "Look whether the answer was written into the text; if so, take it out of the file or choose another column.",
        len(telling),
        "label_in_text",
        "If later texts lack that word, the model learned nothing of use.",
        tuple(Example(word, label) for label, word in list(telling.items())[:EXAMPLES_SHOWN]),
        _without_telling_column(train, set(telling.values())) if most else None,
        asks=most,
    )


def _without_telling_column(train: TrainRows, words: set[str]) -> Fix | None:
    """Of several text columns: without the short one whose cells are the words, if there is one."""
    columns = train.mapping.text
    known = {column.name: column for column in train.table.columns}
    telling = [name for name in columns if name in known and known[name].example.casefold().strip() in words]
    rest = [name for name in columns if name not in telling]
    if not telling or not rest:
        return None
    return Fix(f"Do not read {' and '.join(name[:40] for name in telling)}", {"mapping.text": rest})


def _sampled_texts(database: duckdb.DuckDBPyConnection, train: TrainRows) -> list[tuple[int, str]]:
    """Some of the rows that are used, and the beginning of each text, in lower case."""
    found = database.execute(
        f"SELECT file_row_number, lower(left({mapped_text_sql(train.mapping)}, {READ_OF_A_TEXT})) "
        f"FROM {parquet_rows(train.table.parquet)} WHERE hash(file_row_number) % {_every(train)} = 0"
    ).fetchall()
    return [(int(row), str(text)) for row, text in found if train.labels.used[int(row)]]
