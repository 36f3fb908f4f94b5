"""Column names: none empty, none twice (not even but for case, which DuckDB does not tell apart)."""

from collections import Counter

ROW_NUMBER = "file_row_number"
"""What DuckDB calls the row number that it adds to a Parquet file's columns."""


def distinct_names(given: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names to use for the header cells `given`, and a sentence for each kind of change."""
    stripped = [" ".join(name.split()) for name in given]
    wanted = {name.casefold() for name in stripped if name}
    taken: set[str] = {ROW_NUMBER}
    suffixes: Counter[str] = Counter(dict.fromkeys(wanted, 1))
    names: list[str] = []
    unnamed: list[str] = []
    renamed: list[str] = []
    for position, name in enumerate(stripped, start=1):
        base = name or f"column_{position}"
        # A made-up name also gives way to a later column that is really called so.
        free = base if base.casefold() not in taken and (name or base.casefold() not in wanted) else ""
        while not free:
            suffixes[base.casefold()] += 1
            candidate = f"{base}_{suffixes[base.casefold()]}"
            free = candidate if candidate.casefold() not in taken and candidate.casefold() not in wanted else ""
        taken.add(free.casefold())
        names.append(free)
        if not name:
            unnamed.append(free)
        elif free != name:
            renamed.append(f"'{name}' → '{free}'")
    notes = []
    if unnamed:
        notes.append(f"{_columns(len(unnamed))} without a name: called {_listed(unnamed)}.")
    if renamed:
        notes.append(f"{_columns(len(renamed))} with a name that was taken: {_listed(renamed)}.")
    return tuple(names), notes


def numbered_names(count: int) -> tuple[str, ...]:
    """Names for the columns of a file that gives none: column_1, column_2, ..."""
    return tuple(f"column_{position}" for position in range(1, count + 1))


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
