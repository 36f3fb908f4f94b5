"""Secrets are taken out of what a process prints, logs and raises."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.masking import HIDDEN, masked, masked_error, secret_values

PROJECT = Path(__file__).resolve().parents[2]
TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrSt"
SPEAK = """
import logging, os, sys
early = logging.getLogger("early"); early.addHandler(logging.StreamHandler())
from core.masking import mask_output
mask_output()
early.warning("logged %s", os.environ["HF_TOKEN"])
print("printed", os.environ["MY_API_KEY"], "in", end=" ")
print("two parts")
sys.stdout.write("not ended " + os.environ["HF_TOKEN"][:9])
sys.stdout.flush()
sys.stdout.write(os.environ["HF_TOKEN"][9:])
raise RuntimeError("401 for https://me:" + os.environ["MY_API_KEY"] + "@host/x with Bearer abcdefghijk")
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"token {TOKEN}.", f"token {HIDDEN}."),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {HIDDEN}"),
        ("https://ada:secret@host.example/x", f"https://{HIDDEN}@host.example/x"),
        ("https://host/x?token=abc&y=1", f"https://host/x?token={HIDDEN}&y=1"),
        (f"td_0123abcd_{'x' * 43}", HIDDEN),
        ("step 12, loss 0.31, https://host/x, 12:30:01, a@b", "step 12, loss 0.31, https://host/x, 12:30:01, a@b"),
        ("hf_hub is a word; the bearer of news", "hf_hub is a word; the bearer of news"),
    ],
)
def test_what_has_the_form_of_a_secret_is_hidden_and_the_rest_stays(text: str, expected: str) -> None:
    assert masked(text, ()) == expected


def test_values_of_variables_that_hold_secrets_are_hidden_the_longest_first() -> None:
    environment = {
        "A_TOKEN": "abcdefgh",
        "B_PASSWORD": "abcdefghij",
        "C_KEY": "short",
        "TOKENIZERS_PARALLELISM": "falsefalse",
    }
    assert secret_values(environment) == ("abcdefghij", "abcdefgh")
    assert masked("abcdefghij abcdefgh", secret_values(environment)) == f"{HIDDEN} {HIDDEN}"
    error = masked_error(UserError(f"No access with {TOKEN}.", "model.source", "Log in."))
    assert error.parts() == {"what": f"No access with {HIDDEN}.", "where": "model.source", "todo": "Log in."}


def test_a_process_prints_logs_and_raises_no_secret() -> None:
    environment = {"HF_TOKEN": TOKEN, "MY_API_KEY": "0123456789-secret", "PATH": "/usr/bin", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", SPEAK], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert TOKEN not in said and "0123456789-secret" not in said and "abcdefghijk" not in said
    assert f"printed {HIDDEN} in two parts" in done.stdout and f"not ended {HIDDEN}" in done.stdout
    assert f"logged {HIDDEN}" in done.stderr and "RuntimeError: 401 for" in done.stderr
