"""What the GPU tests do in processes of their own: `python -m tests.gpu.scenarios JSON`.

Each function returns what its test looks at. Nothing that imports transformers, peft or trl is imported at the top:
as in a worker, `choose_backend` comes first. Neither gradio nor duckdb is needed.
"""

import csv
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.chat_templates import read_model_tokenizer
from core.data.examples import DataFacts
from core.models.causal import Backend, choose_backend, load_causal, with_adapter
from core.runs.store import open_store
from core.schema import RunSpec
from core.spec_files import parse_spec
from core.training.job import Job, LabelledTexts
from core.workspace import RunFolder, new_id, open_workspace
from tests.small_tokenizers import data_folder


def answers(source: str, folder: str, backend: str) -> dict[str, Any]:
    """A whole training to answer, as the worker does it once the data are split; the model is left in the run."""
    spec = _spec(source, epochs=3, learning_rate=1e-3, batch_size=16, evaluation_batch_size=16)
    chosen = _backend(backend, spec)
    from core.training.answers import train_answers

    job = _job(spec, folder)
    facts, parts = _trec({"train": 640, "validation": 64, "test": 64})
    trained = train_answers(job, facts, parts, chosen)
    losses = [point.value for point in job.store.metrics(job.folder.id, ["train/loss"])]
    assert trained.untuned is not None
    np.savez(Path(folder) / "predicted.npz", probabilities=trained.test.probabilities)
    return {
        "backend": chosen.name,
        "reason": chosen.reason,
        "first_losses": losses[:5],
        "last_losses": losses[-5:],
        "validation_losses": [point.value for point in job.store.metrics(job.folder.id, ["validation/loss"])],
        "moved": float(np.abs(trained.test.probabilities - trained.untuned.probabilities).mean()),
        "model": str(job.folder.model),
        "texts": parts["test"].texts,
        "files": sorted(path.name for path in job.folder.model.iterdir()),
    }


def reload(model: str, texts: list[str], predicted: str) -> dict[str, Any]:
    """The model in plain transformers and PEFT: how far its probabilities are from those that training left."""
    from core.predictor import load_predictor, predict_probabilities

    again = predict_probabilities(load_predictor(Path(model)), texts)
    with np.load(predicted) as kept:
        before = kept["probabilities"]
    best = np.sort(before, axis=1)
    sure = best[:, -1] - best[:, -2] > 0.05
    same = before.argmax(1) == again.argmax(1)
    return {
        "apart": float(np.abs(before - again).mean()),
        "same": float(same.mean()),
        "sure": int(sure.sum()),
        "same_where_sure": bool(same[sure].all()),
        "unsloth_imported": "unsloth" in sys.modules,
    }


def loss(source: str, folder: str, backend: str, method: str) -> dict[str, Any]:
    """The trainer's loss and gradients on a padded batch, and those of all logits, row by row."""
    spec = _spec(source, method=method, batch_size=4, precision="float32" if method == "full" else "auto")
    chosen = _backend(backend, spec)
    trainer, examples = _trainer(spec, folder, chosen, rows=4)
    from core.prompt_rows import IGNORED

    model, device = trainer.model, next(trainer.model.parameters()).device
    total = sum(sum(example.learned) for example in examples)
    rows = [trainer.train_dataset[row] for row in range(len(examples))]
    batch = {name: value.to(device) for name, value in trainer.data_collator(rows).items()}
    model.train()
    with trainer.accelerator.autocast():
        found = trainer.compute_loss(model, batch, num_items_in_batch=torch.tensor(total, device=device))
    found.backward()
    gradients = _gradients(model)
    alone = torch.zeros((), device=device)
    for example in examples:
        ids = torch.tensor([example.ids], device=device)
        labels = torch.tensor(example.targets, device=device)
        with trainer.accelerator.autocast():
            # Without labels: with them, Unsloth's patched model gives a loss and no logits.
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0].float()
        alone = alone + torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="sum") / total
    alone.backward()
    expected = _gradients(model)
    return {
        "backend": chosen.name,
        "loss": found.item(),
        "all_logits": alone.item(),
        "gradients_apart": float((gradients - expected).norm() / expected.norm()),
        "cosine": float(torch.nn.functional.cosine_similarity(gradients, expected, dim=0)),
        "size": float(expected.norm()),
        "ignored": sum(target == IGNORED for example in examples for target in example.targets),
    }


def scoring(source: str, folder: str, backend: str) -> dict[str, Any]:
    """Label scores of the loaded model: over the tree, plain, and as a run takes them."""
    spec = _spec(source)
    chosen = _backend(backend, spec)
    from core.evaluation.answers import label_scorer
    from core.evaluation.label_trees import TREE_TOKENS
    from core.evaluation.plain_scoring import plain_scores
    from core.evaluation.scoring import Passes, agrees_with_plain, score_labels

    model, _ = load_causal(spec.model, chosen, TREE_TOKENS)
    prompt, rows, _ = _rows(spec, 12)
    prompts, labels = [tokens.ids for tokens in rows], [answer.ids for answer in prompt.answers]
    unsloth = chosen.name == "unsloth"
    passes = Passes(share_beginning=False, mask_dtype=model.dtype) if unsloth else Passes()
    plain = plain_scores(model, prompts, labels, 4)
    return {
        "backend": chosen.name,
        "agrees": agrees_with_plain(model, prompts, labels, passes),
        "plain": plain.tolist(),
        "tree": score_labels(model, prompts, labels, 4, passes=passes).tolist(),
        "run": label_scorer(model, prompt, prompts, 4, passes)(prompts, None).tolist(),
    }


def modes(source: str, folder: str, backend: str) -> dict[str, Any]:
    """Whether the model is in training mode at each pass of four steps, and where it was measured between them."""
    spec = _spec(source, max_steps=4, evaluate_every_steps=2, batch_size=4)
    trainer, _ = _trainer(spec, folder, _backend(backend, spec), rows=16)
    inner = trainer.model.get_base_model()
    seen: list[str] = []

    def measure() -> dict[str, float]:
        inner.eval()
        seen.append("measured")
        return {"macro_f1": 0.0}

    trainer.measure = measure
    table = inner.get_input_embeddings()
    table.register_forward_pre_hook(lambda *_: seen.append("training" if inner.training else "evaluation"))
    trainer.train()
    return {"seen": seen}


def optimizer(source: str, folder: str, backend: str) -> dict[str, Any]:
    """Some steps with the paged 8-bit optimiser."""
    spec = _spec(source, max_steps=6, batch_size=8, optimizer="paged_adamw_8bit")
    trainer, _ = _trainer(spec, folder, _backend(backend, spec), rows=48)
    before = _trained_numbers(trainer.model)
    trainer.train()
    used = trainer.optimizer.optimizer
    states = [value for state in used.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    after = _trained_numbers(trainer.model)
    return {
        "module": type(used).__module__,
        "paged": bool(used.is_paged),
        "bytes_of_state": sum(state.element_size() == 1 for state in states),
        "moved": float((after - before).abs().max()),
        "finite": bool(after.isfinite().all()),
    }


def memory(source: str, folder: str, backend: str, batch: dict[str, int], more_bytes: int) -> dict[str, Any]:
    """Two steps with `more_bytes` of GPU memory beyond the loaded model, and the way out where that is too little."""
    spec = _spec(source, max_steps=2, gradient_checkpointing=False, **batch)
    rows = spec.training.batch_size * spec.training.gradient_accumulation * 2
    trainer, _ = _trainer(spec, folder, _backend(backend, spec), rows=rows, long=True)
    from core.training.failures import another_way

    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more_bytes) / total)
    try:
        trainer.train()
    except BaseException as error:  # noqa: BLE001  as the worker's outer edge
        way = another_way(error, spec)
        return {
            "error": f"{type(error).__module__}.{type(error).__name__}",
            "event": None if way is None else way.event,
            "detail": None if way is None else way.detail,
        }
    return {"error": None, "steps": trainer.state.global_step}


def encoder(folder: str) -> dict[str, Any]:
    """A small BERT trained through core.training.trainers: number format, and losses from first to last."""
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    from core.models.encoder import load_encoder
    from core.models.freezing import apply_method
    from core.models.tokens import tokenise
    from core.training.trainers import classifier_trainer
    from tests.small_tokenizers import LLAMA_3_SPECIAL, llama_3_tokens

    source = Path(folder) / "small-bert"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=llama_3_tokens(), **LLAMA_3_SPECIAL)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(source)
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(source)
    content = {"model": {"source": str(source), "max_length": 64}}
    content["training"] = {"max_steps": 60, "batch_size": 32, "learning_rate": 1e-3, "label_smoothing": 0}
    spec = _parse(content)
    facts, parts = _trec({"train": 960, "validation": 64, "test": 8})
    model, tokenizer = load_encoder(spec.model, facts.labels)
    model = apply_method(model, spec.model)
    rows = {name: tokenise(tokenizer, part.texts, 64, part.labels) for name, part in parts.items()}
    trainer = classifier_trainer(spec, _run_folder(folder), model, tokenizer, rows["train"], rows["validation"], [], {})
    formats = set()
    layer = model.base_model.encoder.layer[0].attention.self.query
    layer.register_forward_hook(lambda _, __, output: formats.add(str(output.dtype)))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "formats": sorted(formats),
        "weights": str(layer.weight.dtype),
        "first": float(np.mean(losses[:5])),
        "last": float(np.mean(losses[-5:])),
    }


def unused_tokens() -> dict[str, Any]:
    """Bytes on the GPU with the whole table of embeddings, with the rows' tokens alone, and after."""
    from transformers import BertConfig, BertForSequenceClassification

    from core.models.tokens import TokenRows
    from core.models.used_tokens import only_used_tokens

    shape = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
    model = BertForSequenceClassification(BertConfig(vocab_size=100_000, **shape)).to("cuda")
    table = model.get_input_embeddings().weight
    rows = TokenRows(np.arange(5, 55, dtype=np.int32), np.array([0, 20, 50]))
    found = {"table": table.numel() * table.element_size(), "whole": torch.cuda.memory_allocated()}
    del table
    with only_used_tokens(model, [rows], 0):
        found["within"] = torch.cuda.memory_allocated()
    return found | {"after": torch.cuda.memory_allocated()}


def _parse(content: dict[str, Any]) -> RunSpec:
    train = str(data_folder() / "trec" / "train.csv")
    common = {"name": "gpu", "data": {"train": {"path": train}}, "mapping": {"text": ["text"], "label": "label"}}
    return parse_spec({**common, **content}, "the test")


def _spec(source: str, method: str = "qlora", **training: Any) -> RunSpec:
    lora = {"rank": 32, "alpha": 32, "dropout": 0}
    settings = {"gradient_checkpointing": True, "optimizer": "paged_adamw_8bit", "label_smoothing": 0, **training}
    return _parse(
        {
            "model": {"source": source, "family": "causal", "method": method, "max_length": 192, "lora": lora},
            "prompt": {"system": "Answer with the class.", "user": "{text}"},
            "training": settings,
            "evaluation": {"generated_rows": 8},
        }
    )


def _backend(name: str, spec: RunSpec) -> Backend:
    return choose_backend(spec.model, spec.training, "" if name == "unsloth" else "The test asks for transformers.")


def _run_folder(folder: str) -> RunFolder:
    found = open_workspace(Path(folder) / "workspace").run(new_id())
    found.root.mkdir()
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        _write_no_curves()
    return found


def _write_no_curves() -> None:
    """A GPU machine may lack tensorboard, which an installation has."""
    from core.training import sft, trainers

    values = trainers.argument_values
    trainers.argument_values = sft.argument_values = lambda *given: values(*given) | {"report_to": "none"}


def _job(spec: RunSpec, folder: str) -> Job:
    run = _run_folder(folder)
    store = open_store(run.workspace)
    store.add_run(run.id, spec.name, spec.preset, spec.model.source, "trec")
    assert store.claim_next() is not None
    return Job(spec, run, store)


def _questions() -> tuple[list[str], list[str]]:
    with (data_folder() / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def _trec(sizes: dict[str, int]) -> tuple[DataFacts, dict[str, LabelledTexts]]:
    texts, names = _questions()
    labels = sorted(set(names))
    parts, start = {}, 0
    for part, size in sizes.items():
        chosen = slice(start, start + size)
        numbers = np.array([labels.index(name) for name in names[chosen]], dtype=np.int64)
        parts[part] = LabelledTexts(np.arange(start, start + size), texts[chosen], numbers)
        start += size
    return DataFacts(labels, {}, sizes, class_counts={}, left_out={}, lengths={}, findings=[]), parts


def _rows(spec: RunSpec, rows: int, long: bool = False) -> tuple[Any, Any, Any]:
    """Prompt, tokenised prompts and examples of the first questions; `long`: joined until they are cut."""
    from core.prompt_rows import encode_prompts, training_examples
    from core.prompts import build_prompt

    texts, names = _questions()
    prompt = build_prompt(
        spec.prompt,
        read_model_tokenizer(Path(spec.model.source)),
        columns=["text", "label"],
        label_column="label",
        labels=sorted(set(names)),
        max_length=spec.model.max_length,
    )
    joined = [" ".join(texts[row : row + 40]) if long else texts[row] for row in range(rows)]
    given = [{"text": text} for text in joined]
    return prompt, encode_prompts(prompt, given), training_examples(prompt, given, names[:rows])


def _trainer(spec: RunSpec, folder: str, backend: Backend, rows: int, long: bool = False) -> tuple[Any, Any]:
    """The trainer of a run, and its examples."""
    from core.evaluation.label_trees import TREE_TOKENS
    from core.training.sft import answer_trainer

    base, tokenizer = load_causal(spec.model, backend, TREE_TOKENS)
    model = with_adapter(base, spec.model, spec.training.model_copy(update={"seed": 0}), backend)
    examples = _rows(spec, rows, long)[2]
    run = _run_folder(folder)
    trainer = answer_trainer(spec, run, model, tokenizer, examples, lambda: {"macro_f1": 0.0}, "macro_f1", [])
    return trainer, examples


def _gradients(model: Any) -> torch.Tensor:
    """All gradients in one row, which are then cleared."""
    found = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return found


def _trained_numbers(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().float().flatten().cpu() for p in model.parameters() if p.requires_grad])


SCENARIOS = {
    work.__name__: work for work in (answers, reload, loss, scoring, modes, optimizer, memory, encoder, unused_tokens)
}


def main() -> int:
    told = json.loads(sys.argv[1])
    found = SCENARIOS[told["scenario"]](**told["arguments"])
    Path(told["answer"]).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
