"""Files and models made to do harm where they are read, and templates made to reach out. None runs, leaves or grows.

The figures (tried, refused) are printed at the end; tests/flow/test_attacks.py attacks a running server.
"""

import contextlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.table import open_table
from core.errors import UserError
from core.schema import ModelSpec, TableFile
from core.template_sandbox import TEMPLATE_FAULTS, render_template
from core.workspace import Workspace
from tests.attacks import figures_of_a_file, tried


@pytest.fixture(scope="module", autouse=True)
def figures(request: pytest.FixtureRequest) -> Iterator[None]:
    yield from figures_of_a_file(request)


def test_archives_and_pickles_do_nothing(workspace: Workspace, tmp_path: Path) -> None:
    for number, name in enumerate(("../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:\\evil.csv")):
        path = tmp_path / f"paths{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "text,label\na,b\nc,d\n")
        _read_quietly(path, workspace)
        outside = [*tmp_path.rglob("evil.csv"), *Path("/tmp").glob("evil.csv"), *workspace.root.glob("evil*")]
        tried("an archive with a path outside", not outside, (name, outside))
    secret = tmp_path / "secret.txt"
    secret.write_text("a file of the owner")
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, str(secret))
    shown = _read_quietly(tmp_path / "link.zip", workspace)
    tried("an archive with a link", "a file of the owner" not in shown, shown)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.csv", bytes(400 * 2**20))
    before = sum(path.stat().st_size for path in workspace.tables.rglob("*") if path.is_file())
    shown = _read_quietly(tmp_path / "bomb.zip", workspace)
    after = sum(path.stat().st_size for path in workspace.tables.rglob("*") if path.is_file())
    tried("a bomb of 400 MB", "limit" in shown and after - before < 2**20, shown)
    for packing, ending in (("gzip", "gz"), ("zstd", "zst")):
        bomb = tmp_path / f"bomb.csv.{ending}"
        with pa.CompressedOutputStream(str(bomb), packing) as out:
            out.write(bytes(400 * 2**20))
        shown = _read_quietly(bomb, workspace)
        after = sum(path.stat().st_size for path in workspace.tables.rglob("*") if path.is_file())
        tried(f"a bomb of 400 MB, {packing}", "limit" in shown and after - before < 2**20, shown)
    _refuses_pickles(tmp_path)


def test_a_models_own_code_does_not_run(tiny_bert: Path, tmp_path: Path) -> None:
    from core.models.encoder import load_encoder

    source, mark = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(tiny_bert, source)
    code = "from transformers import BertConfig as C, BertForSequenceClassification as M\n"
    (source / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n{code}")
    config = json.loads((source / "config.json").read_text())
    names = {"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M", "AutoModel": "evil.M"}
    for kind in ("bert", "unknown-to-all"):
        (source / "config.json").write_text(json.dumps(config | {"auto_map": names, "model_type": kind}))
        with contextlib.suppress(UserError, ValueError, OSError):
            load_encoder(ModelSpec(source=str(source)), ["a", "b"])
        tried("a model's own code", not mark.exists(), kind)


def _read_quietly(path: Path, workspace: Workspace) -> str:
    try:
        return str(open_table(TableFile(path=str(path)), workspace))
    except UserError as error:
        return str(error)


class _Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def _refuses_pickles(tmp_path: Path) -> None:
    """Whatever transformers' Trainer reads of a checkpoint when a run goes on."""
    import torch
    from transformers import Trainer, TrainingArguments

    trainer = Trainer(torch.nn.Linear(2, 2), TrainingArguments(str(tmp_path / "out"), report_to=[], use_cpu=True))
    trainer.create_optimizer_and_scheduler(1)
    checkpoint, mark = tmp_path / "checkpoint-1", tmp_path / "ran"
    checkpoint.mkdir()
    for names, load in (
        (("optimizer.pt", "scheduler.pt"), trainer._load_optimizer_and_scheduler),
        (("rng_state.pth",), trainer._load_rng_state),
        (("pytorch_model.bin",), trainer._load_from_checkpoint),
    ):
        for name in names:
            (checkpoint / name).write_bytes(pickle.dumps(_Evil(mark)))
        with pytest.raises(Exception, match=r"(?i)weights.only|unpickl|not|find"):
            load(str(checkpoint))
        tried("a pickle in a checkpoint", not mark.exists(), names)


def test_templates_and_formulas_run_nothing() -> None:
    templates = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}", "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
        "{{ ''|attr('__class__') }}", "{{ [].append.__self__ }}", "{{ messages.__class__ }}",
        "{% for a in range(10**9) %}{% endfor %}", "{{ 'a' * 10**9 }}", "{{ 2 ** (10**9) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '{:>1000000000}'.format(1) }}", "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}", "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "{{ lipsum.__globals__ }}",
    )  # fmt: skip
    for template in templates:
        try:
            said = render_template(template, {"messages": [{"role": "user", "content": "hello"}]})
        except TEMPLATE_FAULTS:
            said = ""
        # What the sandbox does not reach is undefined, and prints as nothing.
        tried("a template that reaches out", not said.strip(), (template, said))
