"""The training process: `python -m core.training.worker RUN_DIR`.

It reads the run's spec, does one phase after the other, and writes everything it learns to the store and the run
folder. It can be killed at any moment: what was finished is found again, training goes on from the last checkpoint.
"""

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from core.data.examples import DataFacts, extra_columns, label_array, read_examples, read_outside
from core.data.split import write_split
from core.errors import UserError
from core.evaluation.baselines import Baseline, run_baselines
from core.evaluation.chat_report import write_chat_report
from core.evaluation.kinds import label_metrics
from core.evaluation.multi_label import USUAL_THRESHOLD
from core.evaluation.report import write_report
from core.evaluation.report_file import read_content
from core.evaluation.summary import summary_of
from core.gpu_watch import watching
from core.masking import mask_output, masked_error
from core.runs.causes import LAST_LINES
from core.runs.heartbeat import beating
from core.runs.leftovers import remove_leftovers
from core.runs.locks import lock_run
from core.runs.memory_ladder import as_it_fits, queue_again
from core.runs.queue import FINISH_REQUESTED, stopped_words
from core.runs.store import ACTIVE, Store, open_store
from core.runs.supervisor import last_log_lines
from core.schema import RunSpec
from core.spec_files import read_spec
from core.training.folds import cross_validate, divide_folds
from core.training.job import OUTSIDE, Job, LabelledTexts, StopRequestedError, Trained
from core.training.measuring import tell_forecast, tell_measured
from core.workspace import RunFolder

if TYPE_CHECKING:
    from core.models.causal import Backend

BASELINE_FIGURES = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")


def main(run_dir: str, own_process: bool = False) -> int:
    """own_process: nothing but this run happens in it. Returns the exit code."""
    folder = RunFolder(Path(run_dir).resolve())
    lock = lock_run(folder)
    store = open_store(folder.workspace)
    process = psutil.Process()
    store.set_process(folder.id, process.pid, process.create_time())
    try:
        with beating(store, folder.id), watching(store, folder.id):
            return _worked(folder, store, own_process)
    finally:
        lock.release()


def _worked(folder: RunFolder, store: Store, own_process: bool) -> int:
    try:
        spec = read_spec(folder.spec)
    except UserError as error:
        return _fail(store, folder, error)
    try:
        asked = store.events(folder.id, FINISH_REQUESTED)
        finish_only = bool(asked) and asked[-1].detail.get("wanted", True)  # older ones hold nothing
        if own_process:
            leave_out_unused(spec)
        summary = run(Job(as_it_fits(spec, store.events(folder.id)), folder, store, finish_only))
    except StopRequestedError as stop:
        store.move(folder.id, ACTIVE, "stopped", str(stop) or stopped_words(store, folder.id))
        return 0
    except BaseException as error:  # noqa: BLE001  the process's outer edge: whatever it was, the person is told
        return 0 if _begin_again(store, folder, spec, error) else _fail(store, folder, error)
    store.move(folder.id, ACTIVE, "finished", "Trained, measured and saved.", summary=summary)
    remove_leftovers(folder)
    return 0


def run(job: Job) -> dict[str, Any]:
    """All phases in order. Returns the run's summary. Raises UserError, StopRequestedError."""
    job.enter("reading data")
    facts = write_split(job.spec, job.folder.workspace, job.folder)
    tell_forecast(job)
    if job.spec.task == "chat":
        return _run_chat(job, facts)
    divide_folds(job)
    folds = job.spec.split.folds
    # Of several folds the first may be measured already, by a worker that was stopped in a later one.
    report = read_content(job.folder) if folds else None
    if report is None:
        report = _measured(job, facts)
        tell_measured(job, report["training"])
    return summary_of(cross_validate(job, report, _measured) if folds else report)


def _measured(job: Job, facts: DataFacts) -> dict[str, Any]:
    """Train one model on the frozen split and measure it. Returns the content of its report.json."""
    parts = {part: labelled_texts(job.folder, part, facts) for part in ("train", "validation", "test")}
    baselines = _baselines(job, facts, parts)

    job.enter("loading model")
    trained = train_model(job, facts, parts | _outside_texts(job.folder))
    job.enter("evaluating")
    return write_report(
        job.folder,
        job.spec,
        facts,
        test=trained.test,
        validation=trained.validation,
        baselines=[*baselines, *trained.baselines],
        training=trained.facts,
        thresholds=trained.thresholds,
        untuned=trained.untuned,
        free_answers=trained.free_answers,
        outside=trained.outside,
    )


def train_model(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> Trained:
    """torch and transformers take seconds to import: the page shows data and baselines meanwhile."""
    if job.spec.task == "classify":
        from core.training.classifier import train_classifier

        return train_classifier(job, facts, parts)
    backend = backend_of(job)
    # Only now: where unsloth is used, it has to come before transformers and trl.
    from core.training.answers import train_answers

    return train_answers(job, facts, parts, backend)


def _run_chat(job: Job, facts: DataFacts) -> dict[str, Any]:
    """From the frozen split of conversations to the report. Returns the run's summary."""
    job.enter("loading model")
    backend = backend_of(job)
    from core.training.chat import train_chat

    trained = train_chat(job, backend)
    job.enter("evaluating")
    report = write_chat_report(
        job.folder, job.spec, facts, scores=trained.scores, samples=trained.samples, training=trained.facts
    )
    tell_measured(job, report["training"])
    return summary_of(report)


def backend_of(job: Job) -> "Backend":
    """What loads the run's language model; not Unsloth where that refused the model earlier in the run."""
    from core.models.causal import choose_backend

    refused = job.store.events(job.folder.id, "backend_refused")
    backend = choose_backend(job.spec.model, job.spec.training, str(refused[-1].detail["reason"]) if refused else "")
    job.say(f"Backend: {backend.name}. {backend.reason}".rstrip())
    return backend


def labelled_texts(folder: RunFolder, part: str, facts: DataFacts) -> LabelledTexts:
    more = extra_columns(folder)
    table = read_examples(folder, part, more)
    return LabelledTexts(
        row_ids=table["row_id"].to_numpy(),
        texts=table["text"].to_pylist(),
        labels=label_array(table["label"], facts),
        cells={name: table[name].to_pylist() for name in more},
    )


def _outside_texts(folder: RunFolder) -> dict[str, LabelledTexts]:
    """A part of rows of classes that the model does not learn, where there are any."""
    more = extra_columns(folder)
    table = read_outside(folder, more)
    if table is None:
        return {}
    texts = LabelledTexts(
        row_ids=table["row_id"].to_numpy(),
        texts=table["text"].to_pylist(),
        labels=np.zeros(len(table), dtype=np.int64),
        cells={name: table[name].to_pylist() for name in more},
    )
    return {OUTSIDE: texts}


def _baselines(job: Job, facts: DataFacts, parts: dict[str, LabelledTexts]) -> list[Baseline]:
    """The baselines' probabilities on validation and test; their validation scores go to the store for the charts."""
    if not job.spec.evaluation.baselines:
        return []
    job.enter("baselines")
    baselines = run_baselines(parts, facts.labels, facts.kind)
    # The curve of a model beside it is of one half too: thresholds are tuned when training is over.
    halves = np.full(len(facts.labels), USUAL_THRESHOLD)
    for baseline in baselines:
        scores = label_metrics(
            facts.kind,
            parts["validation"].labels,
            baseline.probabilities["validation"],
            facts.labels,
            halves,
        )
        values = {name: scores[name] for name in BASELINE_FIGURES}
        if job.spec.task == "classify":
            # A model that answers in words logs the loss of its tokens, which is on another scale.
            values["loss"] = scores[_loss_figure(job.spec)]
        job.store.add_metrics(
            job.folder.id, 0, {f"baseline/{baseline.name}/{name}": value for name, value in values.items()}
        )
    return baselines


def _loss_figure(spec: RunSpec) -> str:
    """The figure on the scale of the loss that the run's model is trained with."""
    if spec.mapping.kind != "soft":
        return "log_loss"
    return "kl_divergence" if spec.training.loss == "kl" else "cross_entropy"


def _begin_again(store: Store, folder: RunFolder, spec: RunSpec, error: BaseException) -> bool:
    """Whether the run is in the queue again, to go on in a fresh process with what the error calls for."""
    from core.training.failures import another_way

    progress = store.run(folder.id).progress
    fitted = as_it_fits(spec, store.events(folder.id))
    way = another_way(error, fitted, progress.phase if progress is not None else "")
    if way is None:
        return False
    traceback.print_exception(error)
    print(way.words, flush=True)
    queue_again(store, folder, way)
    return True


def _fail(store: Store, folder: RunFolder, error: BaseException) -> int:
    from core.training.checkpoints import remove_torn_checkpoints
    from core.training.failures import explain

    traceback.print_exception(error)
    told = masked_error(explain(error, folder.root))
    # First what is torn: on a full disk the store needs the room to take the news.
    remove_torn_checkpoints(folder.checkpoints)
    store.move(folder.id, ACTIVE, "failed", told.what, error=told.parts() | {"log": last_log_lines(folder, LAST_LINES)})
    return 1


def leave_out_unused(spec: RunSpec) -> None:
    """Keep transformers and peft from importing what no encoder here uses, a quarter of the time until training begins.

    None in sys.modules is Python's way to say that there is no such module
    (https://docs.python.org/3/reference/import.html#the-module-cache).
    """
    if spec.model.family == "encoder" and spec.training.optimizer == "adamw":
        sys.modules.update(dict.fromkeys(("bitsandbytes", "torchao", "datasets")))  # type: ignore[arg-type]


if __name__ == "__main__":
    mask_output()
    sys.exit(main(sys.argv[1], own_process=True))
