"""The model card (README.md) of an export: what it is, how good it was measured to be, where it fails, how to load it.

Everything in it is read from the run's folder. Names of classes, columns and files enter it, escaped for Markdown.
"""

from collections.abc import Iterator
from typing import Any

from core.data.examples import DataFacts, read_data_facts
from core.deciding import threshold_words
from core.decision import decision_sentences
from core.evaluation.calibration import calibration_words
from core.evaluation.report_file import read_content
from core.export.base import base_license, hub_id, shown_base
from core.export.chat_card import chat_data, chat_introduction, chat_limits, chat_results
from core.export.kind_words import KIND_WORDS, columns_words, kind_limit, several_table
from core.export.markdown import code, duration, interval, percent, plain, table
from core.export.metadata import PROGRAM, card_metadata
from core.export.picture import PICTURE_NAME, confusion_picture
from core.export.script import script_words
from core.export.use import use_parts
from core.export_formats import Exported, usual_export
from core.model_facts import ModelFacts
from core.runs.memory_ladder import as_it_fits
from core.runs.store import open_store
from core.schema import ADAPTER_METHODS, RunSpec
from core.spec_files import read_spec
from core.spec_settings import settings
from core.workspace import RunFolder

FEW_ROWS = 20
"""Below so many test rows a class's figures are called rough."""
WEAK_GAP = 0.05
"""A class is called weak when its F1 lies so far below the mean of all."""
MOST_NAMED = 5
OPENED = (
    "**It was trained elsewhere, or in an earlier run, and opened from its files:** how that was done and how good it "
    "is, the card says that came with it."
)
MOST_CLASSES = 200
"""Classes listed with their rows."""

METHOD_WORDS = {
    "full": "every layer trained",
    "freeze": "the embeddings and lower layers frozen, the rest trained",
    "head": "only the head trained, the body frozen",
    "lora": "LoRA adapters trained and merged into the weights",
}
CAUSAL_METHOD_WORDS = {
    "full": "every layer trained",
    "lora": "LoRA adapters trained beside the weights",
    "qlora": "LoRA adapters trained beside the weights, which were in 4 bits (QLoRA)",
    "head-on-llm": "a head and LoRA adapters trained beside the weights, which were in 4 bits",
}


def model_card(folder: RunFolder, exported: Exported | None = None) -> str:
    """The card as Markdown with YAML metadata that the hub takes; of the run's model as it is, or of an export of it.

    Raises UserError where the run has no model.
    """
    exported = exported or usual_export(folder)
    facts = exported.facts
    # Where memory was short it was trained otherwise than it was asked for.
    spec = as_it_fits(read_spec(folder.spec), open_store(folder.workspace).events(folder.id))
    data = read_data_facts(folder)
    report = read_content(folder)
    # One that was opened from its files brings no data, and its settings are not known.
    is_opened = not data.files
    chat, pictured = facts.task == "chat", confusion_picture(folder) is not None
    parts = [
        f"---\n{card_metadata(exported, spec, data, report).to_yaml()}\n---",
        f"# {plain(spec.name)}",
        *_introduction(facts, data, report),
        "## Use",
        *use_parts(exported),
        *((chat_results(report) if chat else _results(report, pictured)) if report else []),
        *(_sureness(facts, report) if facts.label_kind == "single" and not chat else []),
        *([] if is_opened else ["## Data", *(chat_data(data, spec) if chat else _data(facts, data, spec))]),
        *filter(None, ["" if is_opened else _language(folder)]),
        *([] if is_opened else ["## Settings", *_settings(spec, facts, report)]),
        "## Limits and licence",
        "\n".join(f"- {line}" for line in _limits(facts, data, report)),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(facts: ModelFacts, data: DataFacts, report: dict[str, Any] | None) -> Iterator[str]:
    if report:
        yield plain(report["verdict"])
    elif data.files:
        yield "**This model was not evaluated:** its run ended before its test."
    else:
        yield OPENED
    base = hub_id(facts)
    linked = f"[{base}](https://huggingface.co/{base})" if base else f"{code(shown_base(facts))} (a local model)"
    methods = CAUSAL_METHOD_WORDS if facts.family == "causal" or facts.is_adapter else METHOD_WORDS
    made = f"Made with {PROGRAM} from {linked}, {methods[facts.method]}"
    rows = (
        f", on {data.parts['train']:,} {'conversations' if facts.task == 'chat' else 'labelled rows'}"
        if data.files
        else ""
    )
    if facts.task == "chat":
        yield f"{chat_introduction()} {made}{rows}."
        return
    named = ", ".join(plain(label) for label in facts.labels[:12])
    more = f" and {len(facts.labels) - 12} more" if len(facts.labels) > 12 else ""
    asked = ", each scored as the answer to a prompt" if facts.task == "answer" else ""
    does = KIND_WORDS[facts.label_kind].format(classes=len(facts.labels))
    yield f"{does}{asked}: {named}{more}. {made}{rows}."


def _results(report: dict[str, Any], pictured: bool) -> Iterator[str]:
    test = report["test"]
    several = report.get("kind") == "multi"
    yield "## Results"
    yield (
        f"On {test['rows']:,} test rows, which neither training nor the choice of the checkpoint saw. The interval "
        f"says where the true {'micro F1' if several else 'accuracy'} lies with 95 % confidence."
    )
    rows = [("**This model**", test)]
    rows += [("The same model before training", report["untuned"])] if report.get("untuned") else []
    rows += [(plain(scores["title"]), scores) for scores in report["baselines"].values()]
    yield several_table(rows) if several else _accuracy_table(rows)
    if pictured:
        yield f"![How often each true class (rows) was taken for each class (columns)]({PICTURE_NAME})"
    yield "### Where it is weak"
    yield "\n".join(f"- {line}" for line in [*weak_classes(test), *map(plain, report["findings"])])
    yield "### Each class"
    yield table(
        ["class", "precision", "recall", "F1", "test rows", *(["threshold"] if several else [])],
        [
            [
                plain(c["label"]), percent(c["precision"]), percent(c["recall"]), f"{c['f1']:.3f}",
                f"{c['support']:,}", *([f"{c['threshold']:.3f}"] if several else []),
            ]
            for c in test["per_class"][:MOST_CLASSES]
        ],
    )  # fmt: skip


def _language(folder: RunFolder) -> str:
    """The script is seen; the language is for the person to say."""
    if not (words := script_words(folder)):
        return ""
    return f"{words} Which language that is was not determined; where it is known, the head of this card names it."


def _sureness(facts: ModelFacts, report: dict[str, Any] | None) -> Iterator[str]:
    """How far its probabilities can be believed, and what is made of them."""
    said = calibration_words(report["calibration"]) if report and "calibration" in report else []
    said += decision_sentences(facts.decision)
    if facts.decision.abstain_below > 0:
        said.append(threshold_words(report, facts.decision))
    yield "## How sure it is"
    yield " ".join(filter(None, said))


def _accuracy_table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    soft = "kl_divergence" in rows[0][1]
    return table(
        ["", "accuracy", "95 % interval", "macro F1", "weighted F1", *(["KL divergence", "Brier"] if soft else [])],
        [
            [
                name, percent(s["accuracy"]), interval(s["accuracy_interval"]), f"{s['macro_f1']:.3f}",
                f"{s['weighted_f1']:.3f}", *([f"{s['kl_divergence']:.3f}", f"{s['brier']:.3f}"] if soft else []),
            ]
            for name, s in rows
        ],
    )  # fmt: skip


def weak_classes(test: dict[str, Any]) -> Iterator[str]:
    """Sentences on the classes that do worst. What is taken for what, and what was not measured, the report says."""
    measured = [entry for entry in test["per_class"] if entry["support"]]
    weak = sorted((e for e in measured if e["f1"] < test["macro_f1"] - WEAK_GAP), key=lambda entry: entry["f1"])
    for entry in weak[:MOST_NAMED]:
        if entry["predicted"]:
            yield (
                f"{plain(entry['label'])}: it finds {percent(entry['recall'])} of the class's {entry['support']:,} "
                f"rows, and is right in {percent(entry['precision'])} of the cases where it says so."
            )
    if len(weak) > MOST_NAMED:
        yield f"{len(weak) - MOST_NAMED} more classes lie well below the mean; see the table."
    if not weak and measured:
        worst = min(measured, key=lambda entry: entry["f1"])
        yield f"No class stands out; the lowest F1 is that of {plain(worst['label'])} ({worst['f1']:.3f})."


def _drawn(spec: RunSpec) -> str:
    """By what rule rows came to parts."""
    split = spec.split
    told = {
        "chance": "",
        "group": f", rows with the same {code(split.column)} together",
        "time": f", the newest by {code(split.column)} for the test",
        "column": f", as {code(split.column)} says",
    }[split.by]
    stratified = split.stratified and split.by in ("chance", "group")
    folds = f", the first of {split.folds} folds for the test" if split.folds else ""
    return f"{told}{', keeping each class its share' if stratified else ''}{folds}"


def _data(facts: ModelFacts, data: DataFacts, spec: RunSpec) -> Iterator[str]:
    files = ", ".join(f"{code(file['name'])} ({file['rows']:,} rows)" for file in data.files.values())
    columns = ", ".join(code(name) for name in facts.text_columns)
    own = {role for role in ("validation", "test") if role in data.files}
    drawn = "" if own == {"validation", "test"} else (
        f" Rows for {' and '.join(role for role in ('validation', 'test') if role not in own)} were drawn from the "
        f"training file{_drawn(spec)} (seed {spec.split.seed})."
    )  # fmt: skip
    yield (
        f"Files: {files}. Text from {columns}, {columns_words(spec.mapping)}. Rows used: "
        f"{data.parts['train']:,} for training, {data.parts['validation']:,} for choosing the checkpoint, "
        f"{data.parts['test']:,} for the test.{drawn} Half of the training texts have at most "
        f"{data.lengths['p50']:,.0f} characters, 99 % at most {data.lengths['p99']:,.0f}."
    )
    reasons = {
        "empty_text": "no text",
        "empty_label": "no label",
        "label_not_in_train": "a label not in training",
        "rare_class": "rare classes alone",
        "dropped_class": "classes left out by name",
        "no_part": "no part named",
        "too_short": "hardly any text",
        "other_script": "text in another script",
        "in_other_file": "a text of the validation or test file",
        "conflicting_label": "a text that stands with several labels",
        "copy": "a text that stands there already",
    }
    left_out = [f"{count:,} with {reasons[reason]}" for reason, count in data.left_out.items() if count]
    if left_out:
        yield f"Left out: {', '.join(left_out)}."
    warned = [plain(finding["what"]) for finding in data.findings if finding["severity"] == "warning"]
    if warned:
        yield "The checks before training found:\n\n" + "\n".join(f"- {what}" for what in warned)
    counts = data.class_counts
    yield table(
        ["class", "training rows", "validation rows", "test rows"],
        [
            [plain(label), *(f"{counts[part][label]:,}" for part in ("train", "validation", "test"))]
            for label in facts.labels[:MOST_CLASSES]
        ],
    )
    if len(facts.labels) > MOST_CLASSES:
        yield f"... and {len(facts.labels) - MOST_CLASSES} more classes."


def _settings(spec: RunSpec, facts: ModelFacts, report: dict[str, Any] | None) -> Iterator[str]:
    if report:
        training = report["training"]
        machine = report["machine"]
        yield (
            f"Trained for {training['steps']:,} steps ({training['epochs']:.3g} epochs) in "
            f"{duration(training['seconds'])} on {machine['gpu'] or machine['processor'] or 'a CPU'}, with "
            f"{', '.join(f'{name} {version}' for name, version in machine['versions'].items())}."
        )
    content = spec.model_dump(mode="json")
    rows = []
    for leaf in settings(RunSpec):
        section, *path = leaf.key.split(".")
        if section not in ("model", "training") or ("lora" in path and facts.method not in ADAPTER_METHODS):
            continue
        value: Any = content[section]
        for name in path:
            value = value[name]
        rows.append([f"`{leaf.key}`", shown_base(facts) if leaf.key == "model.source" else _shown(value), leaf.unit])
    yield table(["setting", "value", "unit"], [[key, plain(value), unit] for key, value, unit in rows])


def _shown(value: Any) -> str:
    """A setting's value; '' where it was left empty."""
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _limits(facts: ModelFacts, data: DataFacts, report: dict[str, Any] | None) -> Iterator[str]:
    if facts.task == "chat":
        yield from chat_limits(facts)
    else:
        yield from _class_limits(facts, data, report)
    stated = base_license(facts)
    if stated:
        name = stated.get("license_name", stated["license"])
        yield f"Licence: {plain(name)}, as the card of its base model states. The training data may ask for more."
    else:
        yield "Licence: unknown. No licence is stated beside the base model; find out before you pass this model on."


def _class_limits(facts: ModelFacts, data: DataFacts, report: dict[str, Any] | None) -> Iterator[str]:
    yield kind_limit(facts)
    yield "It knows only what its training rows showed; texts of another kind, source or language will be sorted worse."
    if facts.task == "answer":
        most = f"Prompt, text and answer are at most {facts.max_length} tokens; a longer text is cut at its end."
    else:
        most = f"It reads the first {facts.max_length} tokens of a text."
    yield f"{most}{_cut_words(report)}"
    counts = data.class_counts["train"] if data.files else {}
    small = [plain(label) for label, count in counts.items() if count < FEW_ROWS]
    if small:
        more = f" and {len(small) - MOST_NAMED} more" if len(small) > MOST_NAMED else ""
        yield f"Fewer than {FEW_ROWS} training rows: {', '.join(small[:MOST_NAMED])}{more}."


def _cut_words(report: dict[str, Any] | None) -> str:
    share = report["training"]["tokens_cut"]["test"] if report else 0
    return f" {percent(share)} of the test texts are as long or longer." if share else ""
