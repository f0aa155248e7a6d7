"""batchsim's own paths, under /_sim: what it holds, its clock, its faults."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchsim.clock import Clock
from batchsim.faults import CATALOGUE, Faults
from batchsim.jobs import Job
from batchsim.journal import Journal
from batchsim.settings import Settings
from batchsim.store import Store
from batchsim.wire import invalid, known_members, parse_object, timestamp

Json = dict[str, Any]


def routes(
    clock: Clock,
    store: Store,
    settings: Settings,
    faults: Faults,
    journal: Journal,
    reset: Callable[[], None],
) -> list[Route]:
    """
    The admin paths:

        GET  /_sim/health
        GET  /_sim/jobs       every job ever made, also deleted ones
        GET  /_sim/log        every request to the APIs
        GET  /_sim/clock      POST {"advance_s": 86400}
        GET  /_sim/settings   POST {"queue_seconds": 0, "retired_models": []}
        GET  /_sim/faults     POST one rule or a list; DELETE all, or /_sim/faults/ID
        POST /_sim/reset      forget jobs, files, faults and the log
    """

    async def health(request: Request) -> Response:
        return _reply({"status": "ok", "time": timestamp(clock.now())})

    async def all_jobs(request: Request) -> Response:
        now = clock.now()
        return _reply({"jobs": [summary(job, now) for job in store.ever()]})

    async def log(request: Request) -> Response:
        return _reply({"requests": journal.entries()})

    async def show_clock(request: Request) -> Response:
        return _reply({"now": timestamp(clock.now()), "speed": clock.speed})

    async def move_clock(request: Request) -> Response:
        body = parse_object(await request.body())
        known_members(body, frozenset({"advance_s"}), "")
        step = body.get("advance_s")
        if not isinstance(step, int | float) or step < 0:
            raise invalid("advance_s: give the seconds to go ahead by, 0 or more.")
        await asyncio.to_thread(clock.advance, step)
        return await show_clock(request)

    async def show_settings(request: Request) -> Response:
        return _reply(
            {
                "queue_seconds": settings.queue_seconds,
                "run_seconds": settings.run_seconds,
                "retired_models": sorted(settings.retired_models),
            }
        )

    async def change_settings(request: Request) -> Response:
        body = parse_object(await request.body())
        seconds = {"queue_seconds", "run_seconds"}
        known_members(body, frozenset({*seconds, "retired_models"}), "")
        retired = body.pop("retired_models", sorted(settings.retired_models))
        if not isinstance(retired, list) or not all(
            isinstance(m, str) for m in retired
        ):
            raise invalid('retired_models: give names, such as ["gemini-2.0-*"].')
        for name, value in body.items():
            if not isinstance(value, int | float) or value < 0:
                raise invalid(f"{name}: give seconds, 0 or more.")
            setattr(settings, name, float(value))
        settings.retired_models = frozenset(retired)
        return await show_settings(request)

    async def show_faults(request: Request) -> Response:
        catalogue = {
            name: {"stage": fault.stage, "does": fault.does, "takes": fault.takes}
            for name, fault in CATALOGUE.items()
        }
        rules = [rule.json() for rule in faults.rules()]
        return _reply({"faults": catalogue, "rules": rules})

    async def add_faults(request: Request) -> Response:
        text = await request.body()
        if text.lstrip().startswith(b"["):
            given = parse_object(b'{"rules":' + text + b"}")["rules"]
        else:
            given = [parse_object(text)]
        added = faults.load(given)
        return _reply({"rules": [rule.json() for rule in added]})

    async def clear_faults(request: Request) -> Response:
        faults.clear()
        return _reply({})

    async def remove_fault(request: Request) -> Response:
        faults.remove(int(request.path_params["id"]))
        return _reply({})

    async def forget(request: Request) -> Response:
        await asyncio.to_thread(reset)
        return _reply({})

    return [
        Route("/_sim/health", health, methods=["GET"]),
        Route("/_sim/jobs", all_jobs, methods=["GET"]),
        Route("/_sim/log", log, methods=["GET"]),
        Route("/_sim/clock", show_clock, methods=["GET"]),
        Route("/_sim/clock", move_clock, methods=["POST"]),
        Route("/_sim/settings", show_settings, methods=["GET"]),
        Route("/_sim/settings", change_settings, methods=["POST"]),
        Route("/_sim/faults", show_faults, methods=["GET"]),
        Route("/_sim/faults", add_faults, methods=["POST"]),
        Route("/_sim/faults", clear_faults, methods=["DELETE"]),
        Route("/_sim/faults/{id:int}", remove_fault, methods=["DELETE"]),
        Route("/_sim/reset", forget, methods=["POST"]),
    ]


def summary(job: Job, now: datetime) -> Json:
    """A job as `GET /_sim/jobs` shows it; inlined answers are left out."""
    output = job.output or {}
    return {
        "name": job.name,
        "api": job.api,
        "displayName": job.display_name,
        "model": job.model,
        "labels": job.labels,
        "state": job.state,
        "source": job.source,
        "createTime": timestamp(job.created),
        "startTime": timestamp(job.started) if job.started else None,
        "endTime": timestamp(job.ended) if job.ended else None,
        "deleteTime": timestamp(job.deleted) if job.deleted else None,
        "error": job.error.json() if job.error else None,
        "output": {name: output[name] for name in output if name != "inlinedResponses"},
        "webhookConfig": job.body.get("webhookConfig"),
        "rows": {
            "total": job.row_counts.total,
            "done": job.rows_done(now),
            "ok": job.row_counts.ok,
            "failed": job.row_counts.failed,
        },
    }


def _reply(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
