"""One measurement of benchmarks/gpu_memory.py, in a process of its own: `python gpu_memory_measure.py TASK.json`.

`work` says which, see WORK. The answer has what the forecast told and what was taken, in bytes. Nothing imports
transformers, peft or trl before unsloth has had its chance to be imported, which changes them.
"""

import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import torch  # noqa: E402

from benchmarks.gpu_llm_measure import PRESETS, build, full_rows, machine  # noqa: E402  the project is found only now
from core.models.known import local_config  # noqa: E402
from core.models.sizes import sizes_of  # noqa: E402
from core.presets import find_preset, preset_spec  # noqa: E402
from core.schema import DataSpec, MappingSpec, RunSpec, TableFile  # noqa: E402
from core.training.fit import make_it_fit  # noqa: E402
from core.training.memory import CUDA_CONTEXT, PROCESS, Device, MemoryForecast, Workload, forecast_memory  # noqa: E402

PRESETS |= {"1b": "llama-3.2-1b-4bit", "minilm": "quickstart-minilm", "bert": "bert-freeze"}
CAPS = (6, 8, 12, 16, 24)
"""Cards, in GB as they are sold: 2^30 bytes."""
CLASSES = 6
STEPS = 4
TRAINING = ("step", "loss", "gradients")
"""The moments of a forecast that a step goes through."""
MEASURED = {
    "encoder": (*TRAINING, "evaluation"),
    "llm": TRAINING,
    "fit": TRAINING,
    "scoring": ("evaluation",),
    "answers": ("answers",),
}
"""The moments that each kind of work goes through."""


def spec_of(task: dict[str, Any]) -> RunSpec:
    """The model's preset with what the task changes."""
    data = DataSpec(train=TableFile(path=str(Path(task["data"]) / "trec" / "train.csv")))
    spec = preset_spec(find_preset(PRESETS[task["model"]]), data, MappingSpec(text=("text",), label="label"))
    model = {"method": task["method"], "max_length": task["length"], **task.get("settings", {})}
    if "folder" in task:
        model["source"] = task["folder"]
    training = {
        "batch_size": task["batch"],
        "gradient_accumulation": task.get("accumulation", 1),
        "gradient_checkpointing": task["checkpointing"],
        "max_steps": STEPS,
        "evaluate_every_steps": STEPS,
        "prefix_cache": "off",
        **({"optimizer": task["optimizer"]} if "optimizer" in task else {}),
    }
    return spec.model_copy(
        update={"model": spec.model.model_copy(update=model), "training": spec.training.model_copy(update=training)}
    )


def device_of(cap: float | None) -> Device:
    """The card with `cap` bytes of memory at most; torch's allocator is held to what CUDA itself leaves of them."""
    if not torch.cuda.is_available():
        return Device("cpu", "the processor", 10**12, 10**12)
    total = torch.cuda.get_device_properties(0).total_memory
    if cap is None:
        return Device("cuda", "the card", total, total)
    # A card of so many gigabytes has a little less than that.
    torch.cuda.set_per_process_memory_fraction(min(1.0, (cap - CUDA_CONTEXT) / total))
    return Device("cuda", "the card", int(cap), int(cap))


def capped(task: dict[str, Any], spec: RunSpec, workload: Workload) -> tuple[MemoryForecast, float]:
    """The forecast, and the card in GB that it is held to: the task's, or the smallest that it fits; 0: none."""
    forecast = forecast_memory(spec, workload, device_of(None))
    if not torch.cuda.is_available():
        return forecast, 0
    cap = task.get("cap")
    if cap is None and task["capped"]:
        needed = max(size for name, size in forecast.moments if name in MEASURED[task["work"]])
        cap = next((size * 2**30 for size in CAPS if needed <= size * 2**30 <= _most()), None)
    if cap is None:
        return forecast, 0
    return forecast_memory(spec, workload, device_of(cap)), cap / 2**30


def _most() -> float:
    """Bytes of the largest card that this one can stand for: one sold by the same number may have a little more."""
    return 1.02 * float(torch.cuda.get_device_properties(0).total_memory)


def told(forecast: MemoryForecast, work: str) -> dict[str, Any]:
    """Of the moments of this work, without what CUDA or the process takes for itself."""
    highest = max(size for name, size in forecast.moments if name in MEASURED[work])
    own = CUDA_CONTEXT if torch.cuda.is_available() else PROCESS
    return {
        "forecast": highest - own,
        "framework": own,
        "parts": {part.name: part.bytes for part in forecast.parts},
        "moments": dict(forecast.moments),
        "moment": forecast.words,
    }


def start_counting() -> Callable[[], dict[str, int]]:
    """What is taken from here on: on the GPU as torch holds it, else as the process grows."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

        def on_gpu() -> dict[str, int]:
            torch.cuda.synchronize()
            free, total = torch.cuda.mem_get_info()
            return {
                "actual": torch.cuda.max_memory_reserved(),
                "allocated": torch.cuda.max_memory_allocated(),
                "device": total - free,
                "context": total - free - torch.cuda.memory_reserved(),
            }

        return on_gpu
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew (proc(5))
    before = _status("VmRSS")
    return lambda: {"actual": _status("VmHWM") - before, "before": before, "device": _status("VmHWM")}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def encoder(task: dict[str, Any]) -> dict[str, Any]:
    """A real encoder's training on rows of random tokens, all as long; on a processor the growth of the process."""
    sys.modules.update(dict.fromkeys(("bitsandbytes", "torchao", "datasets")))  # type: ignore[arg-type]  as a worker
    import numpy as np

    from core.models import batches_that_fit
    from core.models import encoder as loading
    from core.models.freezing import apply_method
    from core.models.inference import class_logits
    from core.models.processor_steps import quick_steps
    from core.models.tokens import TokenRows
    from core.models.used_tokens import only_used_tokens
    from core.training import trainers
    from core.workspace import RunFolder

    spec = spec_of(task)
    evaluated = spec.training.evaluation_batch_size
    sizes = sizes_of(local_config(spec.model) or find_preset(PRESETS[task["model"]]).config)
    assert sizes is not None

    def rows(count: int, seed: int) -> TokenRows:
        random = np.random.default_rng(seed)
        flat = random.integers(1000, 1000 + task["used"], count * task["length"]).astype(np.int32)
        offsets = np.arange(count + 1, dtype=np.int64) * task["length"]
        # One row is shorter, so that there is a mask, as there is in nearly every batch.
        flat, offsets = flat[:-1], np.minimum(offsets, len(flat) - 1)
        return TokenRows(flat, offsets, random.integers(0, CLASSES, count))

    train, validation = rows(STEPS * task["batch"], 0), rows(evaluated, 1)
    used = len(np.unique(np.concatenate([[0], train.flat, validation.flat])))
    workload = Workload(sizes, CLASSES, task["length"], 0, 0, used_tokens=used)
    forecast, cap = capped(task, spec, workload)
    if "tensorboard" not in sys.modules:
        with_curves = trainers.argument_values
        trainers.argument_values = lambda *given: with_curves(*given) | {"report_to": "none"}
    # A forecast that is too low is to fail, not to go on with fewer rows.
    batches_that_fit.gpu_is_full = lambda error: False
    measured = start_counting()
    model, tokenizer = loading.load_encoder(spec.model, [str(number) for number in range(CLASSES)])
    model = apply_method(model, spec.model)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "runs" / "benchmark"
        root.mkdir(parents=True)

        def learn() -> dict[str, int]:
            trainer = trainers.classifier_trainer(spec, RunFolder(root), model, tokenizer, train, validation, [], {})
            with quick_steps(model, trainer.args.device, bfloat16=trainer.args.bf16):
                trainer.train()
            class_logits(model, validation, tokenizer.pad_token_id, spec.training.evaluation_batch_size)
            return measured()  # before the whole table of embeddings comes back

        if spec.model.method == "full":
            with only_used_tokens(model, [train, validation], tokenizer.pad_token_id):
                taken = learn()
        else:
            taken = learn()
    return told(forecast, "encoder") | {"cap": cap} | taken


def llm(task: dict[str, Any], spec: RunSpec | None = None) -> dict[str, Any]:
    """A language model's training as a run does it; without evaluation, which gpu_llm.py --scoring measures."""
    from benchmarks.gpu_llm_sides import SIDES

    spec = spec_of(task) if spec is None else spec
    whole = {**task, "steps": STEPS, "length": spec.model.max_length, "batch": spec.training.batch_size}
    _, examples, texts = full_rows(whole, spec)
    forecast, cap = capped(task, spec, workload_of(task, spec, examples))
    with tempfile.TemporaryDirectory() as folder:
        measured = start_counting()
        trainer, note = SIDES[task["side"]](whole, spec, examples, texts, Path(folder))
        loading = measured()["actual"]
        measured = start_counting() if torch.cuda.is_available() else measured
        trainer.train()
        return told(forecast, "llm") | {"note": note, "loading": loading, "cap": cap} | measured()


def asked(task: dict[str, Any]) -> dict[str, Any]:
    """One batch of label scores or of free answers, as a run asks for them; no optimiser is there yet."""
    from core.models.causal import choose_backend, load_causal, with_adapter

    spec = spec_of(task)
    backend = choose_backend(spec.model, spec.training)
    from core.evaluation.label_trees import TREE_TOKENS
    from core.evaluation.plain_scoring import ANSWERS_AT_ONCE, generate_answers
    from core.evaluation.scoring import Passes, score_labels
    from core.models import batches_that_fit

    # A forecast that is too low is to fail, not to go on with fewer rows.
    batches_that_fit.gpu_is_full = lambda error: False
    rows = spec.training.evaluation_batch_size if task["work"] == "scoring" else ANSWERS_AT_ONCE
    prompt, examples, _ = full_rows({**task, "steps": 1, "batch": rows}, spec)
    forecast, cap = capped(task, spec, workload_of(task, spec, examples))
    loaded = start_counting()
    model, _ = load_causal(spec.model, backend, TREE_TOKENS)
    model = with_adapter(model, spec.model, spec.training, backend)
    loading = loaded()["actual"]
    measured = start_counting() if torch.cuda.is_available() else loaded
    prompts = [example.ids[: example.learned.index(True)] for example in examples]
    labels = [answer.ids for answer in prompt.answers]
    if task["work"] == "scoring":
        passes = Passes(share_beginning=False, mask_dtype=model.dtype) if backend.name == "unsloth" else Passes()
        score_labels(model.get_base_model(), prompts, labels, rows, passes=passes)
    else:
        generate_answers(model, prompts, [labels[0][-1]], max(map(len, labels)), rows)
    found = told(forecast, task["work"])
    found["forecast"] -= found["parts"].get("optimizer", 0)
    return found | {"note": f"backend {backend.name}", "loading": loading, "cap": cap} | measured()


def workload_of(task: dict[str, Any], spec: RunSpec, examples: list[Any]) -> Workload:
    sizes = sizes_of(json.loads((Path(task["folder"]) / "config.json").read_text(encoding="utf-8")))
    assert sizes is not None
    answers = max(sum(target != -100 for target in example.targets) for example in examples)
    return Workload(sizes, CLASSES, max(len(example.ids) for example in examples), answers, 0)


def fit(task: dict[str, Any]) -> dict[str, Any]:
    """What make_it_fit promises under the cap, then trained under it."""
    if torch.cuda.is_available() and task["cap"] > _most():
        return {"promised": False, "actual": 0, "forecast": 0, "device": 0, "words": "this card has less memory"}
    spec = spec_of(task)
    _, examples, _ = full_rows({**task, "steps": STEPS}, spec)
    found = make_it_fit(spec, workload_of(task, spec, examples), device_of(task["cap"]), task["length"])
    words = {"promised": found.fits, "changes": [f"{change.key} {change.after}" for change in found.changes]}
    if not found.fits:
        return words | {"actual": 0, "forecast": found.forecast.bytes, "device": 0, "words": found.words}
    return llm(task, found.spec) | words


def make(task: dict[str, Any]) -> dict[str, Any]:
    """A language model as gpu_llm.py makes it, or an encoder of the preset's shape with a small tokenizer: its rows are
    random numbers, so that the tokenizer pads them and no more."""
    if task["model"] != "bert":
        return build(task)
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    from tests.small_tokenizers import LLAMA_3_SPECIAL, llama_3_tokens

    content = dict(find_preset(PRESETS["bert"]).config)
    shape = {"hidden_size": 192, "num_hidden_layers": 2, "intermediate_size": 256} if task["tiny"] else {}
    model = AutoModel.from_config(AutoConfig.for_model(content.pop("model_type"), **content | shape))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama_3_tokens(), **LLAMA_3_SPECIAL)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(task["folder"])
    model.save_pretrained(task["folder"])
    return {"parameters": model.num_parameters()}


WORK = {
    "build": make,
    "machine": machine,
    "encoder": encoder,
    "llm": llm,
    "scoring": asked,
    "answers": asked,
    "fit": fit,
}


def main() -> int:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = WORK[task["work"]](task)
    except Exception as error:  # noqa: BLE001  whatever it fails with is its line in the table
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {(str(error).strip() or 'no words').splitlines()[0]}"}
    Path(task["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
