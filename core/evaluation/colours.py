"""One colour a class, the same in every chart, page and report of a run."""

# Twelve hues apart from each other, each at least 3:1 against both a white and a near-black ground.
CLASS_COLOURS = (
    "#4c7ef3", "#d9730d", "#1f9d6b", "#b455d4", "#c99a06", "#d6455d",
    "#0f9bb3", "#8a7bf0", "#7a9a1f", "#c2649a", "#a9765a", "#6b8299",
)  # fmt: skip


def class_colour(index: int) -> str:
    """The colour of the class at this place in the label order; they come round again after twelve."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]
