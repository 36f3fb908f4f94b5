"""Times in words: as they were, and as coarse as a forecast is."""


def duration(seconds: float) -> str:
    """`45 s`, `1 min 40 s`, `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rough(seconds: float) -> str:
    """As coarse as a forecast is: `20 s`, `4 min`, `2 h 30 min`."""
    if seconds < 55:
        return f"{max(10, 10 * round(seconds / 10))} s"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    return duration(900 * round(seconds / 900)).replace(" 00 min", "")
