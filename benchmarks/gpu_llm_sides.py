"""The sides that benchmarks/gpu_llm.py compares: each gives transformers' Trainer, ready to train, and a note.

Each imports its libraries itself, as unsloth changes the others and has to come first.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from core.prompt_rows import Example
from core.schema import RunSpec

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Side = Callable[[dict[str, Any], RunSpec, list[Example], list[str], Path], tuple[Any, str]]
"""From the task, the run, its rows (tokenised, and as texts) and a folder."""


def ours(
    task: dict[str, Any], spec: RunSpec, examples: list[Example], texts: list[str], folder: Path
) -> tuple[Any, str]:
    """As core.training.answers does it."""
    from core.models.causal import choose_backend, load_causal, with_adapter

    backend = choose_backend(spec.model, spec.training)
    from core.evaluation.label_trees import TREE_TOKENS
    from core.training import sft
    from core.workspace import RunFolder

    model, tokenizer = load_causal(spec.model, backend, TREE_TOKENS)
    model = with_adapter(model, spec.model, spec.training, backend)
    note = f"backend {backend.name} {backend.reason}".rstrip()
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        with_curves = sft.argument_values
        sft.argument_values = lambda *given: with_curves(*given) | {"report_to": "none"}
        note += ", no tensorboard"
    root = folder / "runs" / "benchmark"
    root.mkdir(parents=True)
    return sft.answer_trainer(
        spec, RunFolder(root), model, tokenizer, examples, lambda: {"macro_f1": 0.0}, "macro_f1", []
    ), note


def unsloth(
    task: dict[str, Any], spec: RunSpec, examples: list[Example], texts: list[str], folder: Path
) -> tuple[Any, str]:
    """As Unsloth's published notebooks do it: their defaults, loss on the whole text."""
    from unsloth import FastLanguageModel  # isort: skip
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=task["folder"], max_seq_length=task["length"], dtype=None, load_in_4bit=True
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=spec.model.lora.rank,
        target_modules=LINEAR,
        lora_alpha=spec.model.lora.alpha,
        lora_dropout=0,
        bias="none",
        use_gradient_checkpointing="unsloth",
        random_state=3407,
        use_rslora=False,
        loftq_config=None,
    )
    arguments = SFTConfig(
        **_arguments(task, folder),
        optim="adamw_8bit",
        warmup_steps=5,
        weight_decay=0.01,
        lr_scheduler_type="linear",
        seed=3407,
    )
    data = Dataset.from_dict({"text": texts})
    return SFTTrainer(model=model, processing_class=tokenizer, train_dataset=data, args=arguments), "loss on all tokens"


def trl(
    task: dict[str, Any], spec: RunSpec, examples: list[Example], texts: list[str], folder: Path
) -> tuple[Any, str]:
    """As TRL, PEFT and bitsandbytes document QLoRA, loss on the whole text."""
    from datasets import Dataset
    from peft import LoraConfig, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, Trainer
    from trl import SFTConfig, SFTTrainer

    on_gpu = torch.cuda.is_available()
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        task["folder"],
        quantization_config=four_bits,
        dtype=torch.bfloat16,
        device_map={"": "cuda:0" if on_gpu else "cpu"},
    )
    model = prepare_model_for_kbit_training(model)
    lora = LoraConfig(
        r=spec.model.lora.rank,
        lora_alpha=spec.model.lora.alpha,
        lora_dropout=0.05,
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    arguments = SFTConfig(
        **_arguments(task, folder),
        optim="paged_adamw_8bit" if on_gpu else "adamw_torch",
        gradient_checkpointing=True,
        bf16=True,
        use_cpu=not on_gpu,
    )

    class WithoutTriton(SFTTrainer):
        """TRL's loss is a Triton kernel; where there is no GPU transformers' own takes its place."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    tokenizer = AutoTokenizer.from_pretrained(task["folder"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    trainer = (SFTTrainer if on_gpu else WithoutTriton)(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=arguments,
        peft_config=lora,
    )
    return trainer, "loss on all tokens"


def _arguments(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the sides that are not ours have in common."""
    return {
        "output_dir": str(folder),
        "dataset_text_field": "text",
        "max_length": task["length"],
        "per_device_train_batch_size": task["batch"],
        "gradient_accumulation_steps": 1,
        "max_steps": task["steps"],
        "learning_rate": 2e-4,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


SIDES: dict[str, Side] = {"ours": ours, "unsloth": unsloth, "trl": trl}
