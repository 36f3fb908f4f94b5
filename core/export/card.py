"""The model card (README.md) of an export: what it is, how good it was measured to be, where it fails, how to load it.

Everything in it is read from the run's folder. Names of classes, columns and files enter it, escaped for Markdown.
"""

import json
from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from core.data.examples import DataFacts, read_data_facts
from core.export.base import base_license, hub_id, shown_base
from core.export.markdown import code, duration, interval, percent, plain, table
from core.model_facts import ModelFacts, run_model_facts
from core.schema import RunSpec, read_spec, settings
from core.workspace import RunFolder

FEW_ROWS = 20
"""Below so many test rows a class's figures are called rough."""
WEAK_GAP = 0.05
"""A class is called weak when its F1 lies so far below the mean of all."""
MOST_NAMED = 5
MOST_CLASSES = 200
"""Classes listed with their rows."""
PROGRAM = "Tunedesk"

METHOD_WORDS = {
    "full": "every layer trained",
    "freeze": "the embeddings and lower layers frozen, the rest trained",
    "head": "only the head trained, the body frozen",
    "lora": "LoRA adapters trained and merged into the weights",
}


def model_card(folder: RunFolder) -> str:
    """The card as Markdown with YAML metadata that the hub takes. Raises UserError where the run has no model."""
    facts = run_model_facts(folder)
    spec = read_spec(folder.spec)
    data = read_data_facts(folder)
    report = _report(folder)
    parts = [
        f"---\n{_metadata(facts, spec, data, report).to_yaml()}\n---",
        f"# {plain(spec.name)}",
        *_introduction(facts, data, report),
        "## Use",
        _use(facts),
        *(_results(report) if report else []),
        "## Data",
        *_data(facts, data, spec),
        "## Settings",
        *_settings(spec, facts, report),
        "## Limits and licence",
        "\n".join(f"- {line}" for line in _limits(facts, data, report)),
    ]
    return "\n\n".join(parts) + "\n"


def loading_code(facts: ModelFacts, place: str) -> str:
    """Lines of Python that load the exported model from `place` and use it, with nothing of Tunedesk."""
    if len(facts.text_columns) == 1 and not facts.backslash_is_space:
        text = 'text = "Write a text here"'
    else:
        cells = ", ".join(json.dumps(name, ensure_ascii=False) for name in facts.text_columns)
        clean = '.replace("\\\\", " ")' if facts.backslash_is_space else ""
        text = (
            f"cells = [{cells}]  # put the row's cells here\n"
            f"cells = [cell{clean}.strip() for cell in cells]\n"
            f"text = {json.dumps(facts.joiner, ensure_ascii=False)}.join(cell for cell in cells if cell)"
        )
    return f"""# pip install transformers torch
from transformers import pipeline

# truncation=True cuts longer texts at {facts.max_length} tokens, as in training
classifier = pipeline("text-classification", model={json.dumps(place)}, truncation=True)

{text}
print(classifier(text))  # the likeliest class and its probability
print(classifier(text, top_k=None))  # every class"""


def _report(folder: RunFolder) -> dict[str, Any] | None:
    """report.json; None where the run ended after its model was saved and before it was evaluated."""
    path = folder.report / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _metadata(facts: ModelFacts, spec: RunSpec, data: DataFacts, report: dict[str, Any] | None) -> ModelCardData:
    results = []
    license_stated = base_license(facts)
    if report:
        test = report["test"]
        for kind, name, value in (
            ("accuracy", "Accuracy", test["accuracy"]),
            ("f1", "Macro F1", test["macro_f1"]),
        ):
            results.append(
                EvalResult(
                    task_type="text-classification",
                    task_name="Text classification",
                    dataset_type="local-file",
                    dataset_name=_test_file(data),
                    dataset_split="test",
                    metric_type=kind,
                    metric_name=name,
                    metric_value=round(value, 4),
                )
            )
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["text-classification", PROGRAM.lower()],
        base_model=hub_id(facts),
        metrics=["accuracy", "f1"] if results else None,
        model_name=spec.name,
        eval_results=results or None,
        license=license_stated.get("license"),
        license_name=license_stated.get("license_name"),
        license_link=license_stated.get("license_link"),
    )


def _introduction(facts: ModelFacts, data: DataFacts, report: dict[str, Any] | None) -> Iterator[str]:
    yield plain(report["verdict"]) if report else "**This model was not evaluated:** its run ended before its test."
    base = hub_id(facts)
    linked = f"[{base}](https://huggingface.co/{base})" if base else f"{code(shown_base(facts))} (a local model)"
    named = ", ".join(plain(label) for label in facts.labels[:12])
    more = f" and {len(facts.labels) - 12} more" if len(facts.labels) > 12 else ""
    yield (
        f"It sorts texts into {len(facts.labels)} classes: {named}{more}. Made with {PROGRAM} from {linked}, "
        f"{METHOD_WORDS[facts.method]}, on {data.parts['train']:,} labelled rows."
    )


def _use(facts: ModelFacts) -> str:
    return (
        f"```python\n{loading_code(facts, '.')}\n```\n\n"
        'Replace `"."` by this folder or its name on the Hub. Without `truncation=True` a text longer than '
        f"{facts.max_length} tokens is read whole, or stops with an error."
    )


def _results(report: dict[str, Any]) -> Iterator[str]:
    test = report["test"]
    yield "## Results"
    yield (
        f"On {test['rows']:,} test rows, which neither training nor the choice of the checkpoint saw. The interval "
        "says where the true accuracy lies with 95 % confidence."
    )
    rows = [("**This model**", test)]
    rows += [(plain(scores["title"]), scores) for scores in report["baselines"].values()]
    yield table(
        ["", "accuracy", "95 % interval", "macro F1", "weighted F1"],
        [
            [name, percent(s["accuracy"]), interval(s["accuracy_interval"]), f"{s['macro_f1']:.3f}",
             f"{s['weighted_f1']:.3f}"]
            for name, s in rows
        ],
    )  # fmt: skip
    yield "### Where it is weak"
    yield "\n".join(f"- {line}" for line in [*weak_classes(test), *map(plain, report["findings"])])
    yield "### Each class"
    yield table(
        ["class", "precision", "recall", "F1", "test rows"],
        [
            [plain(c["label"]), percent(c["precision"]), percent(c["recall"]), f"{c['f1']:.3f}", f"{c['support']:,}"]
            for c in test["per_class"][:MOST_CLASSES]
        ],
    )


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


def _data(facts: ModelFacts, data: DataFacts, spec: RunSpec) -> Iterator[str]:
    files = ", ".join(f"{code(file['name'])} ({file['rows']:,} rows)" for file in data.files.values())
    columns = ", ".join(code(name) for name in facts.text_columns)
    own = {role for role in ("validation", "test") if role in data.files}
    drawn = "" if own == {"validation", "test"} else (
        f" Rows for {' and '.join(role for role in ('validation', 'test') if role not in own)} were drawn from the "
        f"training file{', keeping each class its share' if spec.split.stratified else ''} (seed {spec.split.seed})."
    )  # fmt: skip
    yield (
        f"Files: {files}. Text from {columns}, label from {code(spec.mapping.label)}. Rows used: "
        f"{data.parts['train']:,} for training, {data.parts['validation']:,} for choosing the checkpoint, "
        f"{data.parts['test']:,} for the test.{drawn} Half of the training texts have at most "
        f"{data.lengths['p50']:,.0f} characters, 99 % at most {data.lengths['p99']:,.0f}."
    )
    reasons = {"empty_text": "no text", "empty_label": "no label", "label_not_in_train": "a label not in training"}
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
        if section not in ("model", "training") or ("lora" in path and facts.method != "lora"):
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
    yield f"It always answers with one of its {len(facts.labels)} classes, also for texts that belong to none of them."
    yield "It knows only what its training rows showed; texts of another kind, source or language will be sorted worse."
    yield f"It reads the first {facts.max_length} tokens of a text.{_cut_words(report)}"
    small = [plain(label) for label, count in data.class_counts["train"].items() if count < FEW_ROWS]
    if small:
        more = f" and {len(small) - MOST_NAMED} more" if len(small) > MOST_NAMED else ""
        yield f"Fewer than {FEW_ROWS} training rows: {', '.join(small[:MOST_NAMED])}{more}."
    stated = base_license(facts)
    if stated:
        name = stated.get("license_name", stated["license"])
        yield f"Licence: {plain(name)}, as the card of its base model states. The training data may ask for more."
    else:
        yield "Licence: unknown. No licence is stated beside the base model; find out before you pass this model on."


def _cut_words(report: dict[str, Any] | None) -> str:
    share = report["training"]["tokens_cut"]["test"] if report else 0
    return f" {percent(share)} of the test texts are as long or longer." if share else ""


def _test_file(data: DataFacts) -> str:
    return str(data.files["test" if "test" in data.files else "train"]["name"])
