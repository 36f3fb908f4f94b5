"""The number format that a run computes in follows what the machine multiplies itself."""

import pytest
import torch

from core.schema import DataSpec, MappingSpec, ModelSpec, RunSpec, TableFile, TrainingSpec
from core.training import trainers
from core.workspace import RunFolder


@pytest.mark.parametrize(
    ("capabilities", "family", "asked", "bf16"),
    [
        ({"avx512_bf16": True}, "encoder", "auto", True),
        ({"amx_bf16": True, "avx512_bf16": False}, "encoder", "auto", True),
        ({"sve_bf16": True}, "encoder", "auto", True),
        ({"avx512_bf16": False, "avx2": True}, "encoder", "auto", False),
        ({}, "encoder", "auto", False),
        ({"avx512_bf16": True}, "encoder", "float32", False),
        ({}, "encoder", "bfloat16", True),
        # Adapters beside 4-bit layers are computed in float32 on a processor.
        ({"avx512_bf16": True}, "causal", "auto", False),
    ],
)
def test_a_processor_takes_bfloat16_where_it_multiplies_it(monkeypatch, tmp_path, capabilities, family, asked, bf16):
    # Whatever accelerator the machine of the test has.
    monkeypatch.setattr(trainers, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    spec = RunSpec(
        data=DataSpec(train=TableFile(path="t.csv")),
        mapping=MappingSpec(text=("a",), label="b"),
        model=ModelSpec(family=family, method="lora"),
        training=TrainingSpec(precision=asked),
    )
    values = trainers.argument_values(spec, RunFolder(tmp_path), 80, 10)
    assert values["bf16"] == bf16
    assert not values["fp16"]
    assert values["use_cpu"]
