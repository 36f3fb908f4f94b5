"""Learning on all of TREC: a small Llama trained whole, and the nf4 path on top of one that has read the questions.

Scores are those of the 500 test questions; guessing gives 0.09 to 0.23.
"""

import json
from pathlib import Path

import torch
from torch.nn import functional

from core.spec_files import parse_spec
from tests.flow.conftest import run_here
from tests.small_llama import small_llama, small_tokenizer, write_small_llama
from tests.small_tokenizers import questions


def trained(workspace, data: Path, model: dict, training: dict) -> dict:
    """The report of a run on TREC; raw prompts, half as long as those of the chat template."""
    spec = parse_spec(
        {
            "name": "trec",
            "data": {"train": {"path": str(data / "trec/train.csv")}, "test": {"path": str(data / "trec/test.csv")}},
            "mapping": {"text": ["text"], "label": "label"},
            "split": {"validation": 0.05},
            "model": {"family": "causal", "max_length": 128, **model},
            "prompt": {"template": "raw", "user": "{text}", "assistant": " {label}"},
            # Twice in 4 epochs of 162 steps: each evaluation scores every row of the validation part.
            "training": {
                "epochs": 4, "batch_size": 32, "label_smoothing": 0, "evaluate_every_steps": 324, **training,
            },
            "evaluation": {"baselines": False, "generated_rows": 0},
        },
        "the test",
    )  # fmt: skip
    run = run_here(workspace, spec)
    folder = workspace.run(run.id)
    assert run.state == "finished", folder.log.read_text(encoding="utf-8")
    return json.loads((folder.report / "report.json").read_text(encoding="utf-8"))


def test_a_small_llama_learns_the_questions_from_nothing(workspace, shared_data, tmp_path):
    base = write_small_llama(tmp_path / "small-llama")
    report = trained(workspace, shared_data, {"source": str(base), "method": "full"}, {"learning_rate": 1e-3})
    assert report["untuned"]["accuracy"] <= 0.25
    assert report["test"]["accuracy"] >= 0.80


def test_qlora_teaches_the_labels_to_a_model_that_has_read_the_questions(workspace, shared_data, tmp_path):
    base = well_read_llama(tmp_path / "well-read-llama")
    lora = {"rank": 32, "alpha": 64, "dropout": 0}
    model = {"source": str(base), "method": "qlora", "lora": lora}
    report = trained(workspace, shared_data, model, {"learning_rate": 5e-4})
    assert report["untuned"]["accuracy"] <= 0.25
    assert report["test"]["accuracy"] >= 0.65


def well_read_llama(folder: Path) -> Path:
    """The small Llama after three passes over the questions as plain text, without their labels."""
    tokenizer, model = small_tokenizer(), small_llama()
    rows = sorted((tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in questions()), key=len)
    batches = [rows[start : start + 32] for start in range(0, len(rows), 32)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=3 * len(batches))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for number in torch.randperm(len(batches), generator=generator).tolist():
            ids = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(row) for row in batches[number]], batch_first=True, padding_value=-100
            )
            logits = model(input_ids=ids.clamp(min=0), attention_mask=(ids >= 0).long()).logits
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
