"""Pieces of the code on cards that every way of loading has in common: the text it reads, the answer it prints."""

import json

from core.decision import AS_IT_IS, Decision
from core.model_facts import ModelFacts
from core.text_template import template_pieces

FUNCTIONS = {"single": "softmax(state, -1)", "soft": "softmax(state, -1)", "multi": "sigmoid(state)"}


def text_lines(facts: ModelFacts) -> str:
    """`text`, made of a row's cells as in training."""
    if len(facts.text_columns) == 1 and not facts.backslash_is_space and not facts.text_template:
        return 'text = "Write a text here"'
    cells = ", ".join(json.dumps(name, ensure_ascii=False) for name in facts.text_columns)
    clean = '.replace("\\\\", " ")' if facts.backslash_is_space else ""
    made = f"cells = [{cells}]  # put the row's cells here\ncells = [cell{clean}.strip() for cell in cells]\n"
    if facts.text_template:
        places = {name: number for number, name in enumerate(facts.text_columns)}
        pieces = [
            f"cells[{places[words]}]" if is_column else json.dumps(words, ensure_ascii=False)
            for words, is_column in template_pieces(facts.text_template)
        ]
        return f"{made}text = {' + '.join(pieces)}"
    return f"{made}text = {json.dumps(facts.joiner, ensure_ascii=False)}.join(cell for cell in cells if cell)"


def given_lines(facts: ModelFacts, thresholds: str) -> str:
    """From `found`, class -> probability, to what is printed."""
    if facts.label_kind == "single" and facts.decision != AS_IT_IS:
        return decided_lines(facts.decision)
    if facts.label_kind != "multi":
        return "print(max(found, key=found.get), found)"
    return (
        f"print([label for (label, share), least in zip(found.items(), {thresholds}) if share >= least])\nprint(found)"
    )


def decided_lines(decision: Decision) -> str:
    """From `found`, class -> probability as the model says it, to what is printed: core.decision in a few lines."""
    lines = []
    if decision.temperature != 1:
        lines += [
            f"found = {{label: share ** (1 / {decision.temperature})"
            " for label, share in found.items()}  # temperature: how sure it is",
            "total = sum(found.values())",
            "found = {label: share / total for label, share in found.items()}",
        ]
    lines.append("likeliest = sorted(found, key=found.get, reverse=True)")
    label = "likeliest[0]"
    if decision.abstain_below > 0:
        label += f" if found[likeliest[0]] >= {decision.abstain_below} else None"
    lines.append(f"print({label}, found)")
    if decision.label_set == "top":
        lines.append(f"print(likeliest[:{decision.label_set_size}])")
    if decision.label_set == "sum":
        lines += [
            "chosen = []",
            f"while sum(found[label] for label in chosen) < {decision.label_set_sum} - 1e-6:",
            "    chosen.append(likeliest[len(chosen)])",
            "print(chosen)  # as few as reach the sum",
        ]
    return "\n".join(lines)
