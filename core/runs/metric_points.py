"""A run's points in the store's table: put back, and read as a chart of so many pixels can show them."""

import sqlite3

from core.runs.records import MetricPoint


def put_points(connection: sqlite3.Connection, run_id: str, points: list[tuple[str, int, float, float]]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO metrics (run, name, step, value, time) VALUES (?,?,?,?,?)",
        [(run_id, *point) for point in points],
    )


def thinned_points(connection: sqlite3.Connection, run_id: str, name: str, columns: int) -> list[MetricPoint]:
    """In a query with min() or max() SQLite takes the other columns from that row: lang_select.html#bareagg."""
    few = connection.execute(
        "SELECT step, value, time FROM metrics WHERE run = ? AND name = ? ORDER BY step LIMIT ?",
        (run_id, name, 2 * columns + 1),
    ).fetchall()
    if len(few) <= 2 * columns:
        rows = few
    else:
        first, last = connection.execute(
            "SELECT min(step), max(step) FROM metrics WHERE run = ? AND name = ?", (run_id, name)
        ).fetchone()
        width = (last - first) // columns + 1
        kept = [
            f"SELECT step, value, time FROM (SELECT step, {which}(value) AS value, time FROM metrics "  # noqa: S608
            "WHERE run = :run AND name = :name GROUP BY (step - :first) / :width)"
            for which in ("min", "max")
        ]
        ends = "SELECT step, value, time FROM metrics WHERE run = :run AND name = :name AND step IN (:first, :last)"
        rows = connection.execute(
            " UNION ".join([*kept, ends]) + " ORDER BY step",
            {"run": run_id, "name": name, "first": first, "last": last, "width": width},
        ).fetchall()
    return [MetricPoint(step, name, value, moment) for step, value, moment in rows]
