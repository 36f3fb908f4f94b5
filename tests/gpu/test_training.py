"""On a CUDA GPU: what Unsloth and bitsandbytes do there that no other machine can show."""

import numpy as np
import pytest
import torch

from tests.small_tokenizers import data_folder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
    pytest.mark.skipif(not data_folder().is_dir(), reason="the real data sets are not on this machine"),
]


def test_unsloth_trains_in_4_bits_and_plain_peft_gives_the_same_predictions(apart, small_model, tmp_path):
    trained = apart("answers", source=small_model, folder=str(tmp_path), backend="unsloth")
    assert trained["backend"] == "unsloth", trained["reason"]
    assert np.mean(trained["last_losses"]) < 0.8 * np.mean(trained["first_losses"])
    assert trained["validation_losses"][-1] < trained["validation_losses"][0]
    assert trained["moved"] > 0.01
    assert "adapter_model.safetensors" in trained["files"]
    assert "model.safetensors" not in trained["files"]
    again = apart("reload", model=trained["model"], texts=trained["texts"], predicted=str(tmp_path / "predicted.npz"))
    assert not again["unsloth_imported"]
    assert again["sure"] > 0
    assert again["same_where_sure"]
    assert again["apart"] < 0.02


@pytest.mark.parametrize(
    ("backend", "method", "allowed"),
    # In bfloat16 the two sum in another order; in float32 they are the same to rounding.
    [("transformers", "full", 1e-3), ("transformers", "qlora", 0.03), ("unsloth", "qlora", 0.03)],
)
def test_loss_and_gradients_come_from_the_answer_tokens_alone(apart, small_model, tmp_path, backend, method, allowed):
    found = apart("loss", source=small_model, folder=str(tmp_path), backend=backend, method=method)
    assert found["backend"] == backend
    assert found["ignored"] > 0
    assert found["size"] > 0
    assert found["loss"] == pytest.approx(found["all_logits"], rel=allowed)
    assert found["gradients_apart"] < 3 * allowed
    assert found["cosine"] > 1 - allowed


def test_labels_are_scored_alike_with_unsloth_and_without(apart, small_model, tmp_path):
    unsloth = apart("scoring", source=small_model, folder=str(tmp_path), backend="unsloth")
    plain = apart("scoring", source=small_model, folder=str(tmp_path), backend="transformers")
    assert (unsloth["backend"], plain["backend"]) == ("unsloth", "transformers")
    assert plain["agrees"]
    apart_by = np.abs(np.array(unsloth["plain"]) - np.array(plain["plain"])).mean()
    assert apart_by < 0.3
    # Where Unsloth's attention did not follow the tree's mask, the run scores the plain way instead.
    used = "tree" if unsloth["agrees"] else "plain"
    np.testing.assert_allclose(unsloth["run"], unsloth[used], atol=0.05)
    assert np.abs(np.array(unsloth["run"]) - np.array(unsloth["plain"])).mean() < 0.3


@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_the_paged_8_bit_optimiser_moves_the_adapters(apart, small_model, tmp_path, backend):
    found = apart("optimizer", source=small_model, folder=str(tmp_path), backend=backend)
    assert found["module"].startswith("bitsandbytes")
    assert found["paged"]
    assert found["bytes_of_state"] > 0
    assert found["finite"]
    assert found["moved"] > 0


@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_learning_goes_on_in_training_mode_after_it_was_measured(apart, small_model, tmp_path, backend):
    seen = apart("modes", source=small_model, folder=str(tmp_path), backend=backend)["seen"]
    assert seen.count("measured") == 2
    assert "evaluation" not in seen
    assert "training" in seen[seen.index("measured") :]


@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_a_full_gpu_leads_to_half_the_batch_and_the_same_step(apart, small_model, tmp_path, backend):
    told = {"source": small_model, "folder": str(tmp_path), "backend": backend, "more_bytes": 600 * 2**20}
    batch = {"batch_size": 512, "gradient_accumulation": 1, "evaluation_batch_size": 512}
    first = apart("memory", batch=batch, **told)
    assert first["error"].endswith("OutOfMemoryError")
    assert first["event"] == "smaller_batch"
    assert first["detail"] == {"batch_size": 256, "gradient_accumulation": 2, "evaluation_batch_size": 256}
    small = {"batch_size": 4, "gradient_accumulation": 2, "evaluation_batch_size": 4}
    assert apart("memory", batch=small, **told) == {"error": None, "steps": 2}


def test_encoders_train_in_bfloat16(apart, tmp_path):
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bfloat16")
    found = apart("encoder", folder=str(tmp_path))
    assert found["formats"] == ["torch.bfloat16"]
    assert found["weights"] == "torch.float32"
    assert found["last"] < 0.95 * found["first"]


def test_the_table_of_all_tokens_leaves_the_gpu_while_a_few_of_them_learn(apart):
    found = apart("unused_tokens")
    assert found["whole"] - found["within"] > 0.9 * found["table"]
    assert abs(found["after"] - found["whole"]) < 0.1 * found["table"]
