"""What the Data step shows of a table, as markup; everything that comes from a file is escaped here."""

from collections.abc import Sequence
from html import escape

from core.data.label_guess import cell_classes
from core.data.mapping import natural_order
from core.data.table import Table
from core.errors import UserError
from core.evaluation.colours import class_colour
from ui.words import percent, rows

BARS_SHOWN = 10
REJECTED_SHOWN = 50
CLAMP_AFTER = 160
CELL_SHOWN = 3000
"""Characters of a cell in the preview; a cell may hold megabytes."""
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}
FORMATS = {
    "jsonl": "JSON Lines", "json": "JSON", "parquet": "Parquet", "excel": "workbook", "texts": "a file for each text",
}  # fmt: skip


def problem_html(error: UserError | None) -> str:
    """A UserError's three parts; '' for none."""
    if error is None:
        return ""
    where = f'<span class="where">{escape(error.where)}</span>' if error.where else ""
    return (
        f'<div class="problem" role="alert"><strong>{escape(error.what)}</strong>'
        f"<p>{escape(error.todo)}</p>{where}</div>"
    )


def busy_html(words: str) -> str:
    return f'<p class="busy" role="status"><i></i>{escape(words)}</p>'


def reading_words(table: Table) -> str:
    """`5,452 rows · 3 columns · UTF-8 · comma · header yes`."""
    first = rows(table.rows) if table.rows_in_all is None else f"about {rows(table.rows_in_all)}"
    facts = [first, f"{len(table.columns)} column{'s' if len(table.columns) != 1 else ''}"]
    if table.encoding:
        facts.append(table.encoding.replace("_", "-").upper() if table.encoding.startswith("utf") else table.encoding)
    if table.delimiter:
        facts.append(DELIMITERS.get(table.delimiter, repr(table.delimiter)))
    if table.header is not None:
        facts.append("header yes" if table.header else "no header")
    if table.skipped:
        facts.append(f"{table.skipped} line{'s' if table.skipped > 1 else ''} before it skipped")
    if table.decimal == ",":
        facts.append("decimal comma")
    if table.file.null_words:
        facts.append(f"empty: {', '.join(table.file.null_words)}")
    if table.delimiter is None:
        facts.append(FORMATS.get(table.format, table.format))
    if table.sheet and len(table.sheets) == 1:
        facts.append(f"sheet {table.sheet}")
    return " · ".join(facts)


def facts_html(table: Table) -> str:
    """Name and facts of a file, what was assumed in reading it, and the lines that could not be read."""
    start = [] if table.rows_in_all is None else [f"What is shown is of its first {rows(table.rows)}."]
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*start, *table.notes))
    return (
        f'<div class="file-facts"><strong dir="auto">{escape(table.title)}</strong>'
        f"<span>{escape(reading_words(table))}</span></div>"
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
        + _lines(table.rejected, "line was left out", "lines were left out", table.rejected_lines)
        + _lines(table.repaired, "row was mended", "rows were mended", table.repaired_lines)
    )


def _lines(count: int, one: str, many: str, lines: Sequence) -> str:
    if not count:
        return ""
    body = "".join(
        f"<tr><td class=n>{line.line:,}</td><td>{escape(line.reason)}</td>"
        f'<td dir="auto" class="raw">{escape(line.content[:200])}</td></tr>'
        for line in lines[:REJECTED_SHOWN]
    )
    more = f"<p>The first {REJECTED_SHOWN} are shown.</p>" if count > REJECTED_SHOWN else ""
    return (
        f'<details class="lines"><summary>{count:,} {one if count == 1 else many}</summary><div class="scroll"><table>'
        f"<thead><tr><th class=n>Line</th><th>Why</th><th>What stands there</th></tr></thead><tbody>{body}</tbody>"
        f"</table></div>{more}</details>"
    )


def class_colours(counts: Sequence[tuple[str, int]], names: dict[str, str]) -> dict[str, str]:
    """Label value -> colour, by its place in the run's label order, so that it stays the same in every chart."""
    order = natural_order(list(dict.fromkeys(names.get(value, value) for value, _ in counts)))
    place = {name: number for number, name in enumerate(order)}
    return {value: class_colour(place[names.get(value, value)]) for value, _ in counts}


def bars_html(
    counts: Sequence[tuple[str, int]], names: dict[str, str], kind: str = "single", rows_in_all: int = 0
) -> str:
    """A bar a class, the largest first; the small ones folded. Shares are of all rows where a row has several."""
    if not counts:
        where = "the columns of the classes" if kind == "soft" else "the label column"
        return f'<h3>Classes</h3><p class="quiet">Choose {where} to see its classes.</p>'
    found, most, colours = sum(count for _, count in counts), max(counts[0][1], 1), class_colours(counts, names)
    total = max(rows_in_all if kind == "multi" else found, 1)

    def bar(value: str, count: int) -> str:
        name = names.get(value, value)
        return (
            f'<li><span class="name" dir="auto" title="{escape(name)}">{escape(name[:80])}</span><span class="bar">'
            f'<i style="width:{count / most * 100:.2f}%;background:{colours[value]}"></i></span>'
            f'<span class="n">{count:,}</span><span class="n share">{percent(count / total)}</span></li>'
        )

    first = "".join(bar(*pair) for pair in counts[:BARS_SHOWN])
    rest = counts[BARS_SHOWN:]
    folded = (
        f'<details><summary>and {len(rest):,} more</summary><ol class="bars">'
        f"{''.join(bar(*pair) for pair in rest[:300])}</ol></details>"
    )
    title = f"{len(counts):,} class{'es' if len(counts) != 1 else ''}"
    if kind == "multi":
        title += f" <small>{found / total:.1f} a row</small>"
    if kind == "soft":
        title += " <small>rows, by the likeliest class</small>"
    return f'<h3>{title}</h3><ol class="bars">{first}</ol>{folded if rest else ""}'


def lengths_html(lengths: dict[str, float], noun: str = "texts") -> str:
    """How long the texts (or conversations, as they stand in the file) are, in characters."""
    if not lengths.get("max"):
        return f'<h3>Length of the {noun}</h3><p class="quiet">Choose the columns to see how long they are.</p>'
    cells = "".join(
        f"<div><dt>{words}</dt><dd>{lengths[name]:,.0f}</dd></div>"
        for name, words in (("p50", "half"), ("p90", "90 %"), ("p99", "99 %"), ("max", "all"))
    )
    return f'<h3>Length of the {noun} <small>characters, at most</small></h3><dl class="lengths">{cells}</dl>'


def columns_html(table: Table, roles: dict[str, str]) -> str:
    """Every column with its type, share of empty cells, and number of different values. roles: what some are for."""
    body = "".join(
        f'<tr><th scope="row" dir="auto">{escape(column.name)}{_role(roles.get(column.name, ""))}</th>'
        f"<td>{escape(column.type)}</td><td class=n>{_empty(column.empty_share)}</td>"
        f"<td class=n>{column.distinct:,}</td>"
        f'<td dir="auto" class="example">{escape(column.example[:80])}</td></tr>'
        for column in table.columns
    )
    return (
        '<h3>Columns</h3><div class="scroll"><table class="columns"><thead><tr><th>Name</th><th>Type</th>'
        "<th class=n>Empty</th><th class=n>Different</th><th>For example</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _role(role: str) -> str:
    return f' <span class="role">{role}</span>' if role else ""


def _empty(share: float) -> str:
    return "none" if not share else "all" if share == 1 else "under 0.1 %" if share < 0.001 else percent(share)


def preview_html(
    names: Sequence[str],
    found: list[dict[str, str | None]],
    offset: int,
    text: Sequence[str],
    label: str | None,
    colours: dict[str, str],
    class_names: dict[str, str],
    separator: str | None = None,
) -> str:
    """Rows of the file as they are, classes with the names given to them; long cells are clamped and fold open.

    separator: what stands between the classes of a label cell that may hold several.
    """
    head = "".join(f'<th dir="auto"{" class=text" if name in text else ""}>{escape(name)}</th>' for name in names)
    body = "".join(
        f"<tr><td class=n>{offset + number:,}</td>"
        + "".join(
            _label_cell(row[name], colours, class_names, separator) if name == label else _cell(row[name], None)
            for name in names
        )
        + "</tr>"
        for number, row in enumerate(found, start=1)
    )
    return (
        '<div class="scroll"><table class="preview"><thead><tr><th class=n><span class="unseen">Row</span></th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _label_cell(value: str | None, colours: dict[str, str], class_names: dict[str, str], separator: str | None) -> str:
    if separator is not None and value:
        dots = "".join(
            f'<span class="one-class"><i class="swatch" style="background:{colours.get(piece, "transparent")}"></i>'
            f"{escape(class_names.get(piece, piece)[:80])}</span>"
            for piece in cell_classes(value, separator)
        )
        return f'<td dir="auto">{dots}</td>'
    written = str(value or "").strip()
    name = class_names.get(written)
    colour = colours.get(written)
    if name is None:
        return _cell(value, colour)
    dot = f'<i class="swatch" style="background:{colour}"></i>' if colour else ""
    return f'<td dir="auto">{dot}{escape(name)} <small class="quiet">{escape(written)}</small></td>'


def _cell(value: str | None, colour: str | None) -> str:
    if value is None or value == "":
        return '<td class="empty">empty</td>'
    dot = f'<i class="swatch" style="background:{colour}"></i>' if colour else ""
    if len(value) <= CLAMP_AFTER:
        return f'<td dir="auto">{dot}{escape(value)}</td>'
    cut = f" … ({len(value):,} characters)" if len(value) > CELL_SHOWN else ""
    return (
        f'<td dir="auto" class="long"><details><summary dir="auto"><span>{escape(value[:CLAMP_AFTER])}…</span> '
        f'<em>more</em></summary><div dir="auto">{escape(value[:CELL_SHOWN])}{cut}</div></details></td>'
    )
