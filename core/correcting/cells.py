"""From the class that a row should have to what stands in its label cells: the other way round than core.data.labels.

A class may have been made by renaming, folding spellings or merging rare classes; what is written is then a value that
the same mapping turns into that class, of several the commonest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.data.class_steps import ClassSteps, steps_of
from core.data.labels import OTHER, has_label_columns, name_of, value_counts, variant_key
from core.data.table import Table
from core.errors import UserError
from core.evaluation.multi_label import joined_labels
from core.schema import MappingSpec

Cells = Mapping[str, str | None]
"""Column -> what stands in it."""


@dataclass(frozen=True)
class CellWriter:
    mapping: MappingSpec
    values: Mapping[str, str]
    """Class -> the value that is written for it."""
    steps: ClassSteps

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that hold the labels."""
        return self.mapping.label_columns if has_label_columns(self.mapping) else (self.mapping.label,)

    def class_of(self, value: str) -> str:
        """The class of a label value; '' where the mapping leaves it out."""
        return self.steps.of(name_of(self.mapping)(value))

    def corrected(self, cells: Cells, classes: Sequence[str], old: Sequence[str] = ()) -> dict[str, str | None]:
        """The label cells of a row that has `cells` in them and should have `classes`.

        old: of several classes in one cell, its values. Raises UserError where no value gives a class.
        """
        for name in classes:
            if name not in self.values:
                raise UserError(
                    f"No value of the file stands for the class '{name}'.", "mapping", "Change the file by hand."
                )
        if not has_label_columns(self.mapping):
            cell = cells[self.mapping.label]
            return {self.mapping.label: self._list(cell, classes, old) if self.mapping.kind == "multi" else
                    self.values[classes[0]]}  # fmt: skip
        if self.mapping.kind == "soft":
            return {column: "1" if column == self.values[classes[0]] else "0" for column in self.columns}
        return {column: self._flag(column, cells[column], classes) for column in self.columns}

    def _list(self, cell: str | None, classes: Sequence[str], old: Sequence[str]) -> str:
        """Values of classes that the mapping leaves out stay, and so does how each class is spelled."""
        kept = [value for value in old if self.class_of(value) in ("", *classes)]
        had = {self.class_of(value) for value in kept}
        values = [*kept, *(self.values[name] for name in classes if name not in had)]
        if not values or (cell or "").strip().startswith("["):
            return json.dumps(values, ensure_ascii=False)
        return joined_labels(values, self.mapping.label_separator)

    def _flag(self, column: str, cell: str | None, classes: Sequence[str]) -> str | None:
        """Of columns of one class the one that stands for it gets the 1."""
        name = self.class_of(column)
        if name == "":
            return cell
        return "1" if name in classes and column == self.values[name] else "0"


def cell_writer(table: Table, mapping: MappingSpec, labels: Sequence[str], rare: Sequence[str]) -> CellWriter:
    """table: the training file; labels, rare: its classes, and its rare ones, as the run found them (DataFacts)."""
    # What was rare, and how a class was spelled, when the run divided its rows, with the cleaning it did, decides.
    steps = replace(steps_of(table, mapping), rare=frozenset(rare))
    if steps.spelling:
        # Spellings of the file go before the name that rare classes were merged under.
        known = {variant_key(name): name for name in sorted((*labels, *rare), key=lambda name: name != OTHER)}
        steps = replace(steps, spelling={**steps.spelling, **known})
    name = name_of(mapping)
    values: dict[str, str] = {}
    for value, _ in value_counts(table, mapping):
        values.setdefault(steps.of(name(value)), value)
    values.pop("", None)
    if steps.rare and steps.how == "merge" and not has_label_columns(mapping) and steps.of(name(OTHER)) == OTHER:
        # One more row could make a rare value common; this name is the class's own, however many rows have it.
        values[OTHER] = OTHER
    return CellWriter(mapping, values, steps)
