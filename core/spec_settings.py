"""The settings of a RunSpec one by one, as forms, help and `--set` need them: read off the schema."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from core.schema import Part


@dataclass(frozen=True)
class Setting:
    """One leaf of the schema, as forms and help need it."""

    key: str
    """Dotted, e.g. `training.learning_rate`."""
    type: Any
    default: Any
    description: str
    unit: str
    essential: bool
    choices: tuple[str, ...]
    """The allowed words of a Literal field, else empty."""
    minimum: float | None
    maximum: float | None
    optional: bool
    """May be left empty (None)."""


def settings(part: type[Part], prefix: str = "") -> Iterator[Setting]:
    """Every leaf of a part with the facts its form field needs, in the order of the schema."""
    for name, field in part.model_fields.items():
        annotation, optional = _without_none(field.annotation)
        if isinstance(annotation, type) and issubclass(annotation, Part):
            yield from settings(annotation, f"{prefix}{name}.")
        else:
            yield _leaf(f"{prefix}{name}", annotation, optional, field)


def _leaf(key: str, annotation: Any, optional: bool, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    minimum: list[Any] = [b.ge if isinstance(b, Ge) else b.gt for b in field.metadata if isinstance(b, Ge | Gt)]
    maximum: list[Any] = [b.le if isinstance(b, Le) else b.lt for b in field.metadata if isinstance(b, Le | Lt)]
    return Setting(
        key=key,
        type=annotation,
        default=None if field.is_required() else field.default,
        description=field.description or "",
        unit=str(extra.get("unit", "")),
        essential=bool(extra.get("essential", False)),
        choices=tuple(str(word) for word in get_args(annotation)) if get_origin(annotation) is Literal else (),
        minimum=minimum[0] if minimum else None,
        maximum=maximum[0] if maximum else None,
        optional=optional,
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    alternatives = get_args(annotation)
    if type(None) in alternatives:
        (kept,) = [alternative for alternative in alternatives if alternative is not type(None)]
        return kept, True
    return annotation, False
