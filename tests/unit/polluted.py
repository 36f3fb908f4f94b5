"""One table of orders, written wrongly in many ways, and how much of it a reading brings back.

The score is the one commonly used for such files: 1 for reading at all, and precision, recall and F1 of the header's
cells, of the rows, and of all cells: 10 in all.
"""

import random
from collections import Counter
from dataclasses import dataclass

HEADER = ("DATE", "TIME", "Qty", "PRODUCTID", "Price", "ProductType", "ProductDescription", "URL", "Comments")
TYPES = ("Bikes", "Clothing", "Accessories", "Components")
WORDS = (
    "Mountain",
    "Road",
    "frame,",
    "black",
    '"pro"',
    "silver",
    '26"',
    "wheel",
    "steel",
    "aluminum,",
    "light",
    "helmet",
    "jersey",
    "long-sleeve",
    "L",
    "XL",
)

Row = tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    name: str
    content: bytes
    header: Row
    rows: tuple[Row, ...]


def orders(count: int = 84) -> tuple[Row, ...]:
    """Rows with dates, numbers, commas, quotes, and a line break in every seventeenth."""
    draw = random.Random(5)
    rows = []
    for number in range(count):
        text = " ".join(draw.choice(WORDS) for _ in range(draw.randint(2, 9)))
        rows.append(
            (
                f"{draw.randint(1, 28):02d}/{draw.randint(1, 12):02d}/20{draw.randint(10, 20)}",
                f"{draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}",
                str(draw.randint(1, 20)),
                f"ID-{draw.randint(100, 999)}",
                f"{draw.random() * 500:.2f}",
                draw.choice(TYPES),
                f"{text}\nsecond line" if number % 17 == 3 else text,
                f"http://shop.example/p/{number}" if number % 5 else "",
                "" if number % 3 else draw.choice(("ok", "late, call back", "see note")),
            )
        )
    return tuple(rows)


ROWS = orders()


def cell(value: str, delimiter: str = ",", quote: str = '"', escape: str = "", always: bool = False) -> str:
    if always or any(part in value for part in (delimiter, quote, "\n", "\r")):
        return quote + value.replace(quote, (escape or quote) + quote) + quote
    return value


def lines(
    rows: tuple[Row, ...] = ROWS,
    header: Row | None = HEADER,
    delimiter: str = ",",
    quote: str = '"',
    escape: str = "",
    always: bool = False,
    end: str = "\n",
) -> str:
    written = [*([header] if header else []), *rows]
    return "".join(
        delimiter.join(cell(value, delimiter, quote, escape, always) for value in row) + end for row in written
    )


def whole_file_variants() -> list[Variant]:
    """The same table, with a fault or a habit that concerns the whole file."""
    found = [Variant("plain", lines().encode(), HEADER, ROWS)]

    def add(name: str, text: str, header: Row = HEADER, rows: tuple[Row, ...] = ROWS, encoding: str = "utf-8") -> None:
        found.append(Variant(name, text.encode(encoding), header, rows))

    for delimiter in (";", "\t", "|", " ", "~", "^", ":", "::", "||", "\x01", "#"):
        add(f"delimiter {delimiter!r}", lines(delimiter=delimiter))
    for quote in "'`|~$%":
        add(f"quote {quote}", lines(quote=quote))
        add(f"every cell in {quote}", lines(quote=quote, always=True))
    add("every cell quoted", lines(always=True))
    add("backslash escapes", lines(escape="\\"))
    add("backslash escapes, every cell quoted", lines(escape="\\", always=True))
    add("blank after the delimiter", lines(delimiter=", ", always=True))
    add(
        "blank after the delimiter, few cells quoted",
        "".join(f"{', '.join(map(cell, row))}\n" for row in (HEADER, *ROWS)),
    )
    for end in ("\r", "\r\n"):
        add(f"line end {end!r}", lines(end=end))
    add("no last line end", lines().rstrip("\n"))
    add("blank lines at the end", lines() + "\n\n")
    add("no header", lines(header=None), tuple(f"column_{number}" for number in range(1, 10)))
    add("one row", lines(ROWS[:1]), rows=ROWS[:1])
    preamble = (
        "Sales report of the year",
        "Created by the office on 3 May",
        "Source: shop system",
        "",
        "Prices in EUR",
    )
    for count in (1, 2, 3, 5):
        add(f"{count} lines before", "\n".join(preamble[:count]) + "\n" + lines())
    add("lines before with delimiters", "Sales report,,,,,,,,\n,,,,,,,,\n" + lines())
    add("comments before", "# exported by a tool\n# version 3\n" + lines())
    add("header twice", ",".join(HEADER) + "\n" + lines())
    units = ("(d)", "(t)", "pcs", "", "EUR", "", "", "", "")
    with_units = tuple(f"{name} {unit}".strip() for name, unit in zip(HEADER, units, strict=True))
    add("two rows of names", lines((units, *ROWS)), with_units)
    groups = ("Order",) * 3 + ("Product",) * 5 + ("Notes",)
    all_three = tuple(f"{group} {name}" for group, name in zip(groups, with_units, strict=True))
    add("three rows of names", lines((HEADER, units, *ROWS), groups), all_three)
    accents = tuple((*row[:8], "crème brûlée für Überzug") for row in ROWS)
    for encoding in ("utf-16", "utf-16-le", "utf-8-sig", "cp1252", "latin-1"):
        add(f"encoding {encoding}", lines(accents), rows=accents, encoding=encoding)
    add("comments throughout", _commented(lines()))
    for count in (1, 2, 4):
        add(f"{count} lines after", lines() + "\n" + "\n".join(preamble[:count]) + "\n")
    add("lines before and after", preamble[0] + "\n\n" + lines() + "\nEnd of the report\n")
    ending = tuple((*row, "") for row in ROWS)
    add("every row ends with a delimiter", lines(ending, (*HEADER, "")), (*HEADER, "column_10"), ending)
    add("every row but the names ends with a delimiter", lines(ending))
    add("tabs after the delimiter", lines(delimiter=",\t", always=True))
    add("blank lines between the rows", "".join(line + "\n\n" for line in _records(lines())))
    add("quotes only where needed, single, CRLF", lines(quote="'", end="\r\n"))
    add("semicolons, decimal commas", lines(_with_commas(ROWS), delimiter=";"), rows=_with_commas(ROWS))
    add("header only", lines(()), rows=())
    add("names for fewer columns", lines(header=HEADER[:8]), (*HEADER[:8], "column_9"))
    add("cells left off at the end", "".join(line.rstrip(",") + "\n" for line in lines().splitlines()))
    return found


def two_table_variants() -> list[Variant]:
    """A second table below the first, after a blank line: its rows are kept, filled up where it is narrower."""
    found = []
    for width in (4, 9):
        names = tuple(f"Other{number}" for number in range(width))
        second = tuple(tuple(f"v{row}{column}" for column in range(width)) for row in range(6))
        text = lines() + "\n" + lines(second, names)
        rows = tuple((*row, *[""] * (9 - width)) for row in (names, *second))
        found.append(Variant(f"second table of {width} columns", text.encode(), HEADER, (*ROWS, *rows)))
    return found


def _records(text: str) -> list[str]:
    """The lines of a text, those that a quoted line break divides put together again."""
    return [record.replace("\0", "\nsecond line") for record in text.replace("\nsecond line", "\0").splitlines()]


def _commented(text: str) -> str:
    """With a comment before every tenth record."""
    records = _records(text)
    said = "# a comment\n"
    return "".join(f"{'' if number % 10 else said}{record}\n" for number, record in enumerate(records))


def _with_commas(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple((*row[:4], row[4].replace(".", ","), *row[5:]) for row in rows)


def odd_row_variants(step: int) -> list[Variant]:
    """One row written in another dialect than the rest; every `step`-th row. Its cells should come out all the same."""
    found = []
    written = [",".join(map(cell, row)) + "\n" for row in (HEADER, *ROWS)]
    for row in range(1, len(written), step):
        values = ROWS[row - 1]
        others = {
            **{f"delimiter {d!r}": d.join(cell(value, d) for value in values) + "\n" for d in ("; ", ";", "\t", "|")},
            "line end \\r": written[row].rstrip("\n") + "\r",
            "line end \\r\\n": written[row].rstrip("\n") + "\r\n",
            "every cell quoted": ",".join(cell(value, always=True) for value in values) + "\n",
            "backslash escapes": ",".join(cell(value, escape="\\") for value in values) + "\n",
            "single quotes": ",".join(cell(value, quote="'") for value in values) + "\n",
            "blank after the delimiter": ", ".join(map(cell, values)) + "\n",
        }
        for name, line in others.items():
            content = "".join([*written[:row], line, *written[row + 1 :]])
            found.append(Variant(f"{name} in row {row}", content.encode(), HEADER, ROWS))
    return found


def one_row_variants(step: int) -> list[Variant]:
    """The same table with one fault in one row; every `step`-th of all the places there are."""
    found = []
    table = (HEADER, *ROWS)
    for place in range(0, len(table) * len(HEADER), step):
        row, column = divmod(place, len(HEADER))
        cells = [cell(value) for value in table[row]]
        written, values = cells[column], list(table[row])
        faults: list[tuple[str, list[str], list[str]]] = []
        faults.append(("quote before", [f'"{written}'], [f'"{values[column]}']))
        faults.append(("quote after", [f'{written}"'], [f'{values[column]}"']))
        if not written.startswith('"') and len(written) > 1:
            split = f'{written[:1]}"{written[1:]}'
            faults.append(("quote within", [split], [split]))
        for name, wrong, right in faults:
            found.append(_with_row(f"{name} {row} {column}", table, row, column, cells, wrong, right))
        if row:
            found.append(
                _with_row(f"delimiter too many {row} {column}", table, row, column, cells, [written, ""], None)
            )
            if column < 8:
                merged = Variant(
                    f"delimiter missing {row} {column}",
                    _content(table, row, [*cells[:column], written + cells[column + 1], *cells[column + 2 :]]),
                    HEADER,
                    _replaced(row, (*values[:column], values[column] + values[column + 1], *values[column + 2 :], "")),
                )
                found.append(merged)
    return found


def _with_row(
    name: str,
    table: tuple[Row, ...],
    row: int,
    column: int,
    cells: list[str],
    wrong: list[str],
    right: list[str] | None,
) -> Variant:
    """The variant whose row has `wrong` in place of a cell, and should be read with `right` there (None: as it was)."""
    content = _content(table, row, [*cells[:column], *wrong, *cells[column + 1 :]])
    values = table[row] if right is None else (*table[row][:column], *right, *table[row][column + 1 :])
    return Variant(name, content, values if row == 0 else HEADER, ROWS if row == 0 else _replaced(row, values))


def _content(table: tuple[Row, ...], row: int, cells: list[str]) -> bytes:
    written = [",".join(map(cell, values)) for values in table]
    written[row] = ",".join(cells)
    return ("\n".join(written) + "\n").encode()


def _replaced(row: int, values: Row) -> tuple[Row, ...]:
    return (*ROWS[: row - 1], tuple(values), *ROWS[row:])


def score(variant: Variant, header: Row, rows: list[Row]) -> float:
    """0 to 10."""
    right = [tuple(value.replace("\r\n", "\n").replace("\r", "\n") for value in row) for row in rows]
    cells = [value for row in right for value in row]
    wanted = [value for row in variant.rows for value in row]
    return (
        1
        + sum(_agreement(variant.header, header))
        + sum(_agreement(variant.rows, right))
        + sum(_agreement(wanted, cells))
    )


def _agreement(wanted: object, found: object) -> tuple[float, float, float]:
    """Precision, recall and F1 of two collections, counting copies."""
    want, have = Counter(wanted), Counter(found)  # type: ignore[call-overload]
    if not want and not have:
        return 1.0, 1.0, 1.0
    common = (want & have).total()
    precision, recall = common / max(have.total(), 1), common / max(want.total(), 1)
    return precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0
