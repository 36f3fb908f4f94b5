"""How much memory it takes to merge an adapter into a language model: random weights in the shape of a real one.

python benchmarks/merge_memory.py [small|3b] [FOLDER]    writes the model twice into FOLDER (3b: 13 GB), and removes it

The merge runs in a process of its own, whose largest resident memory the operating system says. Asked of it: less than
1.5 times its largest shard plus 2 GB.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

SHAPES = {
    "small": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8,
              "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000},
    "3b": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
           "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256},
}  # fmt: skip
"""3b: meta-llama/Llama-3.2-3B."""
RANK = 16
SPARE_BYTES = 2e9


def linear_shapes(shape: dict[str, int]) -> dict[str, tuple[int, int]]:
    wide, inner = shape["hidden_size"], shape["intermediate_size"]
    queries, keys = (shape[heads] * shape["head_dim"] for heads in ("num_attention_heads", "num_key_value_heads"))
    return {
        "self_attn.q_proj": (queries, wide), "self_attn.k_proj": (keys, wide), "self_attn.v_proj": (keys, wide),
        "self_attn.o_proj": (wide, queries), "mlp.gate_proj": (inner, wide), "mlp.up_proj": (inner, wide),
        "mlp.down_proj": (wide, inner),
    }  # fmt: skip


def write_base(shape: dict[str, int], folder: Path) -> None:
    """A shard for the embeddings and one for every four layers."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True, **shape}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")  # a model has one; nothing here reads it
    weight_map: dict[str, str] = {}

    def save(name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, name))

    # Drawn once for each shape: three billion random numbers take longer than what is measured.
    kept: dict[tuple[int, ...], torch.Tensor] = {}

    def drawn(*sizes: int) -> torch.Tensor:
        if sizes not in kept:
            kept[sizes] = torch.empty(sizes, dtype=torch.bfloat16).normal_(std=0.02)
        return kept[sizes].clone()

    wide = shape["hidden_size"]
    save("model-embeddings.safetensors", {"model.embed_tokens.weight": drawn(shape["vocab_size"], wide),
                                          "model.norm.weight": torch.ones(wide, dtype=torch.bfloat16)})  # fmt: skip
    for first in range(0, shape["num_hidden_layers"], 4):
        tensors = {}
        for layer in range(first, first + 4):
            for name, sizes in linear_shapes(shape).items():
                tensors[f"model.layers.{layer}.{name}.weight"] = drawn(*sizes)
            for name in ("input_layernorm", "post_attention_layernorm"):
                tensors[f"model.layers.{layer}.{name}.weight"] = torch.ones(wide, dtype=torch.bfloat16)
        save(f"model-layers-{first:02d}.safetensors", tensors)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def write_adapter(shape: dict[str, int], folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK,
              "target_modules": [name.split(".")[1] for name in linear_shapes(shape)]}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for name, (out, into) in linear_shapes(shape).items():
            module = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{module}.lora_A.weight"] = torch.empty(RANK, into).normal_(std=0.02)
            tensors[f"{module}.lora_B.weight"] = torch.empty(out, RANK).normal_(std=0.02)
    save_file(tensors, folder / "adapter_model.safetensors")


def merge(base: Path, adapter: Path, place: Path) -> None:
    """Runs in a process of its own; prints seconds and the bytes that it held at most, and those before it began."""
    from core.export.merged import write_merged
    from core.model_facts import ModelFacts

    facts = ModelFacts(
        schema_version=2, run="benchmark", name="benchmark", preset="", base=str(base), base_revision=None,
        method="lora", labels=(), max_length=512, text_columns=("text",), joiner=" ", backslash_is_space=False,
        class_names={}, family="causal", task="chat", label_kind="none",
    )  # fmt: skip
    place.mkdir()
    before = most_bytes()
    began = time.monotonic()
    write_merged(adapter, facts, place, lambda done, total, words: None)
    print(json.dumps({"seconds": time.monotonic() - began, "most": most_bytes(), "before": before}))


def most_bytes() -> int:
    """Linux says it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_process(*words: str) -> str:
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(kind: str, folder: Path) -> None:
    from benchmarks.machine import heading

    print(heading("torch", "safetensors", "peft", "transformers"))
    base, adapter, place = folder / "base", folder / "adapter", folder / "merged"
    try:
        in_process("write", kind, str(folder))
        weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
        told = json.loads(in_process("merge", str(base), str(adapter), str(place)).splitlines()[-1])
        shards = [path.stat().st_size for path in place.glob("*.safetensors")]
    finally:
        for made in (base, adapter, place):
            shutil.rmtree(made, ignore_errors=True)
    allowed = 1.5 * max(shards) + SPARE_BYTES
    print(f"{kind}: {weights / 1e9:.2f} GB of weights in, {sum(shards) / 1e9:.2f} GB in {len(shards)} shards out")
    print(f"largest shard                {max(shards) / 1e9:6.2f} GB")
    print(f"memory, libraries imported   {told['before'] / 1e9:6.2f} GB")
    print(f"memory at most, all counted  {told['most'] / 1e9:6.2f} GB")
    print(f"allowed (1.5 shards + 2 GB)  {allowed / 1e9:6.2f} GB  {'kept' if told['most'] < allowed else 'EXCEEDED'}")
    print(f"took {told['seconds']:.0f} s with {os.environ.get('OMP_NUM_THREADS', 'all')} threads")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_base(SHAPES[sys.argv[2]], Path(sys.argv[3]) / "base")
        write_adapter(SHAPES[sys.argv[2]], Path(sys.argv[3]) / "adapter")
    elif sys.argv[1:2] == ["merge"]:
        merge(*map(Path, sys.argv[2:5]))
    else:
        chosen = sys.argv[1] if len(sys.argv) > 1 else "3b"
        main(chosen, Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="merge-")))
