"""Plain HTTP routes beside the pages: login, a run's report, labelled files, and the API for programs.

A route of our own says exactly what it takes and gives, which a Gradio endpoint with its components, sessions and event
streams does not; so the API is here and every Gradio event is private. docs/api.md describes it.
"""

import json
import math
import threading
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from core.errors import UserError
from core.label_jobs import label_job
from core.model_facts import run_model_facts
from core.prediction_service import PredictionService
from core.runs.store import Run, open_store
from core.sharing.rates import TooOftenError
from core.sharing.tokens import ApiToken, askable_runs, may_ask, token_of
from core.workspace import RunFolder, Workspace
from ui.sharing.entrance import Entrance, visitor_of
from ui.sharing.login import log_in, log_out, login_page

GUESTS = ("/shared", "/shared/report", "/labelled")
"""What guests have of all routes, beside what every page needs."""
OWNERS = ("/shared/report", "/labelled")
MOST_TEXTS = 256
MOST_CHARACTERS = 100_000
"""Of one text."""
MOST_BODY = 4 * 2**20
MOST_AT_ONCE = 8
"""Requests of programs that may wait for a model; further ones are told to come again."""
REPORT_POLICY = "sandbox allow-scripts"
"""Added to the policy in the file itself, which allows no request and the one script that sorts the table."""


def routes(entrance: Entrance, service: PredictionService) -> list[BaseRoute]:
    workspace, slots = entrance.workspace, threading.BoundedSemaphore(MOST_AT_ONCE)
    return [
        Route("/login", partial(login_page, entrance), methods=["GET"]),
        Route("/login", partial(log_in, entrance), methods=["POST"]),
        Route("/logout", partial(log_out, entrance), methods=["POST"]),
        Route("/shared/report", partial(report_file, workspace), methods=["GET"]),
        Route("/labelled", partial(labelled_file, workspace), methods=["GET"]),
        Route("/api/v1/runs", partial(list_runs, entrance), methods=["GET"]),
        Route("/api/v1/runs/{run}/predict", partial(predict, entrance, service, slots), methods=["POST"]),
    ]


def report_file(workspace: Workspace, request: Request) -> Response:
    """report.html of a run, to those who may see it."""
    folder = _folder(workspace, request)
    if folder is None or not (folder.report / "report.html").is_file():
        return PlainTextResponse("There is no such report.", 404)
    return FileResponse(
        folder.report / "report.html", media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY}
    )


def labelled_file(workspace: Workspace, request: Request) -> Response:
    """The file that a labelling made, to the owner and to the guest who asked for it."""
    folder, visitor = _folder(workspace, request), visitor_of(request)
    try:
        job = label_job(workspace, folder.id, request.query_params.get("job", "")) if folder else None
    except UserError:
        job = None
    if job is None or job.output is None or (visitor.role == "guest" and job.visitor != visitor.id):
        return PlainTextResponse("There is no such file.", 404)
    return FileResponse(job.output, media_type="application/octet-stream", filename=job.output.name)


def _folder(workspace: Workspace, request: Request) -> RunFolder | None:
    """Of the run that the address names, where this visitor may see it."""
    try:
        run = open_store(workspace).run(request.query_params.get("run", ""))
        return workspace.run(run.id) if run.shared or visitor_of(request).role == "owner" else None
    except UserError:
        return None


# The API


def list_runs(entrance: Entrance, request: Request) -> Response:
    """Runs that the token may ask."""
    token = _token(entrance, request)
    if isinstance(token, Response):
        return token
    return JSONResponse({"runs": [_run(run) for run in askable_runs(open_store(entrance.workspace), token)]})


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "name": run.name,
        "labels": run.summary.get("labels"),
        "metrics": run.summary.get("test", {}),
    }


async def predict(
    entrance: Entrance, service: PredictionService, slots: threading.BoundedSemaphore, request: Request
) -> Response:
    """Labels with probabilities for the texts of one request."""
    token = await run_in_threadpool(_token, entrance, request)
    if isinstance(token, Response):
        return token
    stated = request.headers.get("content-length", "")
    if not stated.isdecimal() or int(stated) > MOST_BODY:
        return _problem(413, f"A request says its length and has {MOST_BODY:,} bytes at most.", "Send fewer texts.")
    if not slots.acquire(blocking=False):
        return _problem(503, "The model is busy.", "Try again in a second.", {"Retry-After": "1"})
    try:
        body = await request.body()
        return await run_in_threadpool(_answer, entrance.workspace, service, token, request.path_params["run"], body)
    finally:
        slots.release()


def _answer(workspace: Workspace, service: PredictionService, token: ApiToken, run_id: str, body: bytes) -> Response:
    try:
        folder = workspace.run(run_id)
        run = open_store(workspace).run(run_id)
    except UserError:
        folder = None
    if folder is None or not may_ask(token, run):
        return _problem(404, "This token may ask no such run.", "GET /api/v1/runs lists those it may.")
    try:
        texts, top_k = _asked(body)
        said = service.predict(run_id, texts)
        unsure = run_model_facts(folder).decision.abstain_below
    except UserError as error:
        return _problem(422, error.what, error.todo)
    return JSONResponse({"run": run_id, "predictions": [_prediction(ranked[:top_k], unsure) for ranked in said]})


def _prediction(ranked: list[tuple[str, float]], abstain_below: float) -> dict[str, Any]:
    """The likeliest label; none where the run's owner chose that such an unsure answer gets none."""
    label, probability = ranked[0]
    return {
        "label": label if probability >= abstain_below else None,
        "probability": probability,
        "labels": [{"label": name, "probability": share} for name, share in ranked],
    }


def _asked(body: bytes) -> tuple[list[str], int]:
    """Texts and how many labels each. Raises UserError for anything that is not that."""
    try:
        content = json.loads(body)
        texts, top_k = content["texts"], content.get("top_k", 1)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(
            "The request is not understood.", "body", 'Send JSON: {"texts": ["..."], "top_k": 1}.'
        ) from None
    fits = isinstance(texts, list) and 0 < len(texts) <= MOST_TEXTS and all(isinstance(text, str) for text in texts)
    if not fits or max(map(len, texts)) > MOST_CHARACTERS:
        raise UserError(
            f"texts is a list of 1 to {MOST_TEXTS} texts of at most {MOST_CHARACTERS:,} characters.", "texts",
            "Send the rest in further requests.",
        )  # fmt: skip
    if not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= 1000:
        raise UserError("top_k is a whole number from 1 to 1000.", "top_k", "Leave it out for the likeliest label.")
    return texts, top_k


def _token(entrance: Entrance, request: Request) -> ApiToken | Response:
    """Whose token came with the request; the refusal where it is none, or comes too often."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    address = request.client.host if request.client else "nobody"
    try:
        token = token_of(entrance.workspace, given) if kind.lower() == "bearer" else None
        entrance.rates.take("api", token.id if token else f"unknown at {address}")
    except TooOftenError as error:
        return _problem(429, error.what, error.todo, {"Retry-After": str(math.ceil(error.seconds))})
    if token is None:
        return _problem(
            401, "A token is needed.", "Send `Authorization: Bearer TOKEN`; the owner makes one in Settings.",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    return token


def _problem(code: int, what: str, todo: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"what": what, "todo": todo}}, code, headers)
