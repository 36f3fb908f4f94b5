"""The measured table of presets/README.md, from the presets themselves: `python -m tests.presets_table` writes it."""

from core.presets import PRESETS_FOLDER, Preset, load_presets

README = PRESETS_FOLDER / "README.md"
MARK = "<!-- measured -->"
HEADING = (
    "| Preset | Data set | Metric | Result | TF-IDF | Time | Machine, date, script |\n"
    "| --- | --- | --- | ---: | ---: | ---: | --- |\n"
)


def measured_table(presets: dict[str, Preset]) -> str:
    """Markdown; a line for each measurement."""
    lines = [
        f"| {preset.name} | {found.data} | {found.metric} | {found.value:.3f} | "
        f"{'' if found.baseline is None else f'{found.baseline:.3f}'} | {found.seconds:,.0f} s | "
        f"{found.machine}, {found.date}, {found.script} |\n"
        for preset in presets.values()
        for found in preset.measured
    ]
    return HEADING + "".join(lines)


def with_table(text: str) -> str:
    before, _, after = text.split(MARK)
    return f"{before}{MARK}\n{measured_table(load_presets())}{MARK}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
