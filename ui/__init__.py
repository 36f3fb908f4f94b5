"""The pages. Before the first of them imports Gradio, Gradio is kept from writing stubs for code editors.

At every import Gradio 6 parses the source of each component twice to write `.pyi` files beside it
(https://github.com/gradio-app/gradio/blob/main/gradio/component_meta.py): a second of each start, for nobody here.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _WithoutStubs(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "gradio.component_meta":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None and spec.loader is not None
        load: Any = spec.loader
        execute = load.exec_module

        def execute_and_replace(module: Any) -> None:
            execute(module)
            module.create_or_modify_pyi = _write_no_stubs

        load.exec_module = execute_and_replace
        return spec


def _write_no_stubs(component_class: type, class_name: str, events: list[Any]) -> None:
    """What Gradio calls for each component."""


sys.meta_path.insert(0, _WithoutStubs())
