"""The HTTP face: every path of both APIs, and batchsim's own under /_sim."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchsim import vertex
from batchsim.clock import Clock
from batchsim.jobs import Job
from batchsim.store import Store
from batchsim.timeline import Timeline
from batchsim.vertex import Vertex
from batchsim.wire import ApiError, parse_object, timestamp

Handler = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]


def build(clock: Clock, timeline: Timeline, store: Store, dialect: Vertex) -> Starlette:
    """The ASGI application around the parts of one simulator."""
    parent = "/{version}/projects/{project}/locations/{location}"
    jobs = f"{parent}/batchPredictionJobs"

    async def create(request: Request) -> Response:
        made = dialect.create(
            request.path_params["version"],
            request.path_params["project"],
            request.path_params["location"],
            parse_object(await request.body()),
        )
        return reply(vertex.resource(made, made.created))

    async def list_(request: Request) -> Response:
        return reply(dialect.list(*_parent(request), request.query_params))

    async def get(request: Request) -> Response:
        job = dialect.get(*_parent(request), request.path_params["id"])
        return reply(vertex.resource(job))

    async def cancel(request: Request) -> Response:
        return reply(dialect.cancel(*_parent(request), request.path_params["id"]))

    async def delete(request: Request) -> Response:
        version = request.path_params["version"]
        id = request.path_params["id"]
        return reply(dialect.delete(version, *_parent(request), id))

    async def operation(request: Request) -> Response:
        return reply(dialect.operation(*_parent(request), request.path_params["id"]))

    async def health(request: Request) -> Response:
        return reply({"status": "ok", "time": timestamp(clock.now())})

    async def all_jobs(request: Request) -> Response:
        now = clock.now()
        return reply({"jobs": [summary(job, now) for job in store.ever()]})

    def route(path: str, handler: Handler, method: str) -> Route:
        async def settled(request: Request) -> Response:
            # On a clock that stands still, what was due before a request has
            # happened when it is answered; on any other, it happens in its own time.
            if clock.manual and not timeline.idle:
                await asyncio.to_thread(timeline.drain)
            return await handler(request)

        return Route(path, settled, methods=[method])

    return Starlette(
        routes=[
            route(jobs, create, "POST"),
            route(jobs, list_, "GET"),
            route(jobs + "/{id}:cancel", cancel, "POST"),
            route(jobs + "/{id}", get, "GET"),
            route(jobs + "/{id}", delete, "DELETE"),
            route(parent + "/operations/{id}", operation, "GET"),
            Route("/_sim/health", health, methods=["GET"]),
            route("/_sim/jobs", all_jobs, "GET"),
        ],
        exception_handlers={ApiError: _refused, 404: _no_such_path, 405: _no_such_path},
    )


def summary(job: Job, now: Any) -> Json:
    """A job as `GET /_sim/jobs` shows it."""
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
        "output": job.output,
        "rows": {
            "total": job.tally.total,
            "done": job.rows_done(now),
            "ok": job.tally.ok,
            "failed": job.tally.failed,
        },
    }


def reply(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
    )


def _parent(request: Request) -> tuple[str, str]:
    return request.path_params["project"], request.path_params["location"]


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, ApiError)
    return reply(exc.envelope, exc.code)


async def _no_such_path(request: Request, exc: Exception) -> Response:
    message = f"{request.method} {request.url.path} is no method of this service."
    return reply(ApiError(404, message).envelope, 404)
