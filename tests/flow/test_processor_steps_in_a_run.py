"""A run on a processor trains with the quick steps, and saves what a plain model is."""

import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from core.models import processor_steps
from core.models.device import best_device
from core.models.processor_steps import QuickDropout
from core.runs.store import open_store
from core.runs.supervisor import submit
from core.training.job import Job
from core.training.worker import run
from tests.flow.conftest import tiny_spec


class Watch(TrainerCallback):
    """How many dropouts are quick while a step ends."""

    found = 0

    def on_step_end(self, args, state, control, model=None, **_more):
        self.found = sum(type(module) is QuickDropout for module in model.modules())


@pytest.mark.skipif(best_device().type != "cpu", reason="runs train on a GPU here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_trains_with_them(questions, tiny_bert, workspace, monkeypatch, precision):
    calls, own = [], processor_steps.attention_gradients
    monkeypatch.setattr(
        processor_steps, "attention_gradients", lambda *given, **more: calls.append(1) or own(*given, **more)
    )
    spec = tiny_spec(questions, tiny_bert, precision=precision)
    run_id = submit(workspace, spec)
    store = open_store(workspace)
    store.claim_next()
    folder, watch = workspace.run(run_id), Watch()
    run(Job(spec, folder, store, prepare=lambda trainer: trainer.add_callback(watch)))
    assert watch.found
    assert bool(calls) == (precision == "bfloat16")
    assert (folder.report / "report.json").is_file()
    assert load_file(folder.model / "model.safetensors")
