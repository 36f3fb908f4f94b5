"""What the model card of a model that learned from conversations says in place of classes and accuracy."""

from collections.abc import Iterator
from typing import Any

from core.data.examples import DataFacts
from core.export.markdown import code, plain, table
from core.model_facts import ModelFacts
from core.schema import RunSpec


def chat_introduction() -> str:
    return "It answers messages."


def chat_results(report: dict[str, Any]) -> Iterator[str]:
    test = report["test"]
    yield "## Results"
    yield (
        f"On {test['rows']:,} test conversations ({test['tokens']:,} tokens of answers), which neither training nor "
        "the choice of the checkpoint saw. Loss in nats a token, lower is better; perplexity is e to its power. This "
        "measures how closely it writes like the answers in the data, not whether what it says is true."
    )
    rows = [("**This model**", test)]
    rows += [("The same model before training", report["untuned"])] if report["untuned"] else []
    yield table(
        ["", "loss", "perplexity"],
        [[name, f"{figures['loss']:.4f}", f"{figures['perplexity']:,.2f}"] for name, figures in rows],
    )


def chat_data(data: DataFacts, spec: RunSpec) -> Iterator[str]:
    files = ", ".join(f"{code(file['name'])} ({file['rows']:,} rows)" for file in data.files.values())
    columns = ", ".join(code(name) for name in spec.mapping.chat.model_dump().values() if name)
    yield (
        f"Files: {files}. Conversations from {columns}. Used: {data.parts['train']:,} for training, "
        f"{data.parts['validation']:,} for choosing the checkpoint, {data.parts['test']:,} for the test. Only the "
        f"assistant's answers were learned. Half of the conversations have at most {data.lengths['p50']:,.0f} "
        f"characters, 99 % at most {data.lengths['p99']:,.0f}."
    )
    left_out = [f"{count:,} ({reason.replace('_', ' ')})" for reason, count in data.left_out.items() if count]
    if left_out:
        yield f"Left out: {', '.join(left_out)}."
    warned = [plain(finding["what"]) for finding in data.findings if finding["severity"] == "warning"]
    if warned:
        yield "The checks before training found:\n\n" + "\n".join(f"- {what}" for what in warned)


def chat_limits(facts: ModelFacts) -> Iterator[str]:
    yield "What it says may be wrong, however sure it sounds; nobody has checked it for truth or harm."
    yield "It learned the manner of its training answers; on other subjects it is about as good as its base model."
    yield f"It was trained on conversations of at most {facts.max_length} tokens."
