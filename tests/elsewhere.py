"""A Python process that does not have this project, for what people run elsewhere: a card's lines, a plain library.

One process answers all: it takes seconds to import the libraries. Each piece of code has names of its own, and a folder
to stand in; what it imported stays imported.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ANSWER = """
import contextlib, importlib.util, io, json, os, sys, traceback
assert importlib.util.find_spec("core") is None, "the project can be imported here"
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # what a library writes past Python's own standard output
for line in sys.stdin:
    asked, said, error = json.loads(line), io.StringIO(), ""
    os.chdir(asked["place"])
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(asked["code"], "<elsewhere>", "exec"), {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"said": said.getvalue(), "error": error}), file=answers, flush=True)
"""


class Elsewhere:
    def __init__(self) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            # -I: neither PYTHONPATH, nor the folder that it stands in, nor what this person alone has installed.
            [sys.executable, "-I", "-X", "utf8", "-c", ANSWER], env=environment, cwd=Path.home(), encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def printed(self, code: str, place: Path) -> str:
        """What lines of Python print in this folder. Fails the test where they raise."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"code": code, "place": str(place)}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert not answer["error"], answer["error"]
        return answer["said"].strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
