"""Where things live. Every path the program touches is made here, so that none can leave the workspace."""

import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def no_run(run_id: str) -> UserError:
    """The error for an id that no run has."""
    return UserError(f"There is no run '{run_id}'.", "run", "Take an id from `python launch.py runs` or the Runs page.")


def new_id() -> str:
    """A short id that sorts by time, e.g. `20261121-081530-3f9a41c2`; made without a look at what there is."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(4)


@dataclass(frozen=True)
class RunFolder:
    """The contract between processes: everything that one run reads and writes."""

    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def spec(self) -> Path:
        return self.root / "spec.yaml"

    @property
    def split(self) -> Path:
        """Row ids and part; see core.data.split."""
        return self.root / "split.parquet"

    @property
    def examples(self) -> Path:
        """Texts and labels of the split's rows, so that a run outlives a change to the file it came from."""
        return self.root / "examples.parquet"

    @property
    def outside(self) -> Path:
        """Rows for test whose class the train part does not have, like `examples`; absent where there is none."""
        return self.root / "outside.parquet"

    @property
    def data_facts(self) -> Path:
        return self.root / "data.json"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def journal(self) -> Path:
        """States, metrics and events as the store has them, so that it can be made again from here."""
        return self.root / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the run's worker for as long as it lives."""
        return self.root / "worker.lock"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def adapter(self) -> Path:
        """The PEFT adapter of an encoder's LoRA run; `model` holds it merged."""
        return self.root / "adapter"

    @property
    def prompt(self) -> Path:
        """The prompt of a language model as its rows were first tokenised, so that a resumed run reads the same."""
        return self.root / "prompt.json"

    @property
    def prefix_cache(self) -> Path:
        """What frozen layers say, while the run trains; gone after it."""
        return self.root / "prefix_cache"

    @property
    def untuned(self) -> Path:
        """What a language model said of the test part before it was trained."""
        return self.root / "untuned.npz"

    @property
    def neighbours(self) -> Path:
        """What nearest neighbours on the untuned model said, while the run trains; gone after it."""
        return self.root / "neighbours.npz"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def predictions(self) -> Path:
        """One folder for each file that was labelled with this run's model."""
        return self.root / "predictions"

    @property
    def evaluations(self) -> Path:
        """One folder for each labelled file that this run's model was measured on."""
        return self.root / "evaluations"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def publications(self) -> Path:
        """One folder each time that something was published, and what the form for it holds."""
        return self.root / "publications"

    @property
    def workspace(self) -> "Workspace":
        return Workspace(self.root.parent.parent)


@dataclass(frozen=True)
class Workspace:
    root: Path

    @property
    def database(self) -> Path:
        return self.root / "tunedesk.db"

    @property
    def backups(self) -> Path:
        """Copies of the store as it was before its schema changed."""
        return self.root / "backups"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        """What each sweep tries, and in which runs, so that the store can be made again from here."""
        return self.root / "sweeps"

    @property
    def label_marks(self) -> Path:
        """What people said of labels, for the same reason."""
        return self.root / "label_marks.jsonl"

    @property
    def uploads(self) -> Path:
        """Files people uploaded, one folder each, kept until no run or draft needs them."""
        return self.root / "uploads"

    @property
    def incoming(self) -> Path:
        """Files that arrive, until the page keeps them."""
        return self.uploads / "incoming"

    @property
    def tables(self) -> Path:
        """Uploaded files rewritten as Parquet, named by the file's fingerprint; may be deleted at any time."""
        return self.root / "tables"

    @property
    def openings(self) -> Path:
        """Models of the hub on their way into a run, one folder each; see core.opening_jobs."""
        return self.root / "openings"

    @property
    def samples(self) -> Path:
        """Sample data sets that the program itself makes."""
        return self.root / "samples"

    @property
    def probes(self) -> Path:
        """One folder for each probe of a run that has not begun."""
        return self.root / "probes"

    @property
    def compiled(self) -> Path:
        """What Unsloth makes for the models of this computer's GPU; may be deleted at any time."""
        return self.root / "compiled"

    def run(self, run_id: str) -> RunFolder:
        """The folder of a run. Raises UserError for an id that could name anything else."""
        if not _ID.fullmatch(run_id):
            raise no_run(run_id)
        return RunFolder(self.runs / run_id)


def open_workspace(root: str | Path | None = None) -> Workspace:
    """The workspace at `root`, else TUNEDESK_HOME, else ~/.tunedesk; made if absent.

    Raises UserError where the folder cannot be made or written.
    """
    chosen = Path(root or os.environ.get("TUNEDESK_HOME") or Path.home() / ".tunedesk").expanduser().resolve()
    workspace = Workspace(chosen)
    try:
        for folder in (workspace.runs, workspace.uploads, workspace.tables, workspace.samples):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The workspace {chosen} cannot be written ({error.strerror}).",
            str(chosen),
            "Choose another folder with --workspace DIR or TUNEDESK_HOME.",
        ) from error
    return workspace
