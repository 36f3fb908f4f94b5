"""A run that ends before it has learned: few rows, and few passes over them. Light: the page asks, too."""

import math
from collections.abc import Mapping

from core.data.amount import usable
from core.data.division import part_sizes
from core.data.findings import Finding, Fix
from core.data.table import Table
from core.epochs import suggested_epochs
from core.schema import RunSpec

FEW = 100
"""Steps. From 300 rows of TREC's questions with frozen lower layers, 36 steps stayed below TF-IDF, 90 were above it
(benchmarks/results/few_rows.txt)."""


def few_steps(spec: RunSpec, tables: Mapping[str, Table]) -> list[Finding]:
    """Of a classifier whose epochs somebody set, or its preset. tables: by role."""
    training = spec.training
    if spec.task != "classify" or training.epochs is None or training.max_steps is not None:
        return []
    used, classes = usable(tables["train"], spec.mapping)
    rows = part_sizes(tables["train"], spec.split, used, tables.keys() - {"train"})["train"]
    suggested = suggested_epochs(rows, len(classes) if spec.mapping.kind == "single" else 0)
    steps = math.ceil(math.ceil(rows / training.batch_size) / training.gradient_accumulation * training.epochs)
    if not 0 < steps < FEW or 2 * training.epochs > suggested:
        return []
    passes = f"{training.epochs:g} pass{'' if training.epochs == 1 else 'es'}"
    return [
        Finding(
            "warning",
            f"{passes} over {rows:,} training rows {'is' if training.epochs == 1 else 'are'} about {steps} "
            f"step{'' if steps == 1 else 's'}, hardly enough to learn from.",
            "training.epochs",
            f"Leave epochs empty: it makes {suggested} passes then.",
            steps,
            "few_steps",
            "With so few rows a model that stops early may do worse than TF-IDF.",
            fix=Fix(f"Make {suggested} passes", {"training.epochs": None}),
        )
    ]
