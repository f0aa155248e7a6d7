"""Serves every path of both APIs over HTTP, and batchsim's own under /_sim."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchsim import admin, developer, multipart, vertex
from batchsim.clock import Clock
from batchsim.developer import Developer
from batchsim.faults import Faults, Rule, Subject
from batchsim.files import Files
from batchsim.formats import member
from batchsim.jobs import Kind
from batchsim.journal import Journal
from batchsim.listing import subject_of
from batchsim.serving import hang_up
from batchsim.settings import Settings
from batchsim.storage import NO_EMULATOR
from batchsim.store import Store
from batchsim.timeline import Timeline
from batchsim.vertex import Vertex
from batchsim.wire import ApiError, invalid, parse_object, timestamp

Handler = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Parts:
    """The parts of one simulator. `reset` deletes everything that they hold."""

    clock: Clock
    timeline: Timeline
    store: Store
    settings: Settings
    faults: Faults
    files: Files
    journal: Journal
    vertex: Vertex
    developer: Developer
    reset: Callable[[], None]


def build(parts: Parts, *, with_admin: bool) -> ASGIApp:
    """The ASGI application. It serves /_sim only `with_admin`."""
    routes: list[Route] = []
    for version in ("v1", "v1beta1"):
        routes += _Vertex(parts, version).routes()
    for version in ("v1", "v1beta", "v1alpha"):
        routes += _Developer(parts, version).routes()
    if with_admin:
        routes += admin.routes(
            parts.clock,
            parts.store,
            parts.settings,
            parts.faults,
            parts.journal,
            parts.reset,
        )
    handlers: dict[Any, Any] = {
        ApiError: _refused,
        404: _no_such_path,
        405: _no_such_path,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    return _Journalled(app, parts.journal, parts.clock)


class _Api:
    """What both APIs do around each request."""

    def __init__(self, parts: Parts, version: str) -> None:
        self.parts = parts
        self.version = version

    def route(self, method: str, path: str, op: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            parts = self.parts
            # On a clock that stands still, whatever is due happens before the request
            # is answered. On a running clock, the timeline's threads do it.
            if parts.clock.manual and not parts.timeline.idle:
                await asyncio.to_thread(parts.timeline.drain)
            self.admit(request, op)
            rules: list[Rule] = []
            if parts.faults.rules():
                subject = await self.subject(request, op)
                rules = parts.faults.of_request(op, subject)
            request.scope["state"]["faults"] = [rule.fault for rule in rules]
            drops = False
            for rule in rules:
                if rule.fault == "slow":
                    await asyncio.sleep(float(rule.params["seconds"]))
                elif rule.fault == "drop_reply":
                    drops = True
                elif rule.fault == "reset":
                    hang_up(request.scope, reset=True)
                    return Response()
                else:
                    raise _injected(rule)
            try:
                response = await handler(request)
            except ApiError as exc:
                response = refusal(exc)
            if drops:
                hang_up(request.scope)
            return response

        return Route(path, endpoint, methods=[method])

    def admit(self, request: Request, op: str) -> None:
        """Raises ApiError if the caller is refused."""

    async def subject(self, request: Request, op: str) -> Subject:
        """The request as fault rules match it."""
        raise NotImplementedError


class _Vertex(_Api):
    def routes(self) -> list[Route]:
        parent = f"/{self.version}/projects/{{project}}/locations/{{location}}"
        jobs = f"{parent}/batchPredictionJobs"
        return [
            self.route("POST", jobs, "create", self._create),
            self.route("GET", jobs, "list", self._list),
            self.route("POST", jobs + "/{id}:cancel", "cancel", self._cancel),
            self.route("GET", jobs + "/{id}", "get", self._get),
            self.route("DELETE", jobs + "/{id}", "delete", self._delete),
            self.route("GET", parent + "/operations/{id}", "get", self._operation),
        ]

    async def subject(self, request: Request, op: str) -> Subject:
        if op == "create":
            body = await _object(request)
            return _described(body.get("model"), body)
        if op in ("get", "cancel", "delete"):
            parent = vertex.parent_of(*_parent(request))
            id = request.path_params["id"]
            if job := self.parts.store.get(f"{parent}/batchPredictionJobs/{id}"):
                return subject_of(job)
        return Subject()

    async def _create(self, request: Request) -> Response:
        body = parse_object(await request.body())
        made = self.parts.vertex.create(self.version, *_parent(request), body)
        numbers = vertex.enums_as_numbers(request.query_params)
        return reply(vertex.resource(made, made.created, numbers))

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        return reply(self.parts.vertex.list(*_parent(request), query))

    async def _get(self, request: Request) -> Response:
        job = self.parts.vertex.get(*_parent(request), request.path_params["id"])
        numbers = vertex.enums_as_numbers(request.query_params)
        return reply(vertex.resource(job, None, numbers))

    async def _cancel(self, request: Request) -> Response:
        id = request.path_params["id"]
        return reply(self.parts.vertex.cancel(*_parent(request), id))

    async def _delete(self, request: Request) -> Response:
        id = request.path_params["id"]
        dialect = self.parts.vertex
        return reply(dialect.delete(self.version, *_parent(request), id))

    async def _operation(self, request: Request) -> Response:
        id = request.path_params["id"]
        return reply(self.parts.vertex.operation(*_parent(request), id))


class _Developer(_Api):
    def routes(self) -> list[Route]:
        v = f"/{self.version}"
        generate, embed = ":batchGenerateContent", ":asyncBatchEmbedContent"
        return [
            self.route("POST", v + "/models/{m:path}" + generate, "create", self._make),
            self.route("POST", v + "/tunedModels/{m}" + generate, "create", self._make),
            self.route("POST", v + "/models/{m:path}" + embed, "create", self._make),
            self.route("POST", v + "/tunedModels/{m}" + embed, "create", self._make),
            self.route("GET", v + "/batches", "list", self._list),
            self.route("POST", v + "/batches/{id}:cancel", "cancel", self._cancel),
            self.route("GET", v + "/batches/{id}", "get", self._get),
            self.route("DELETE", v + "/batches/{id}", "delete", self._delete),
            self.route("POST", "/upload" + v + "/files", "upload", self._upload),
            self.route("GET", v + "/files", "file", self._files),
            self.route("GET", v + "/files/{id}:download", "download", self._download),
            self.route(
                "GET",
                "/download" + v + "/files/{id}:download",
                "download",
                self._download,
            ),
            self.route("GET", v + "/files/{id}", "file", self._file),
            self.route("DELETE", v + "/files/{id}", "file", self._delete_file),
        ]

    def admit(self, request: Request, op: str) -> None:
        # Chunks carry no key: the address of an upload is secret.
        if op == "upload" and "upload_id" in request.query_params:
            return
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        if not key and "authorization" not in request.headers:
            raise ApiError(
                403,
                "Method doesn't allow unregistered callers (callers without "
                "established identity). Please use API Key or other form of API "
                "consumer identity to call this API.",
            )
        known = self.parts.settings.api_keys
        if key and known is not None and key not in known:
            raise ApiError(
                400,
                "API key not valid. Please pass a valid API key.",
                details=[
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "API_KEY_INVALID",
                        "domain": "googleapis.com",
                    }
                ],
            )

    async def subject(self, request: Request, op: str) -> Subject:
        if op == "create":
            batch = (await _object(request)).get("batch")
            return _described(_model(request), batch if isinstance(batch, dict) else {})
        if op in ("get", "cancel", "delete"):
            id = request.path_params["id"]
            if job := self.parts.store.get(f"batches/{id}"):
                return subject_of(job)
        return Subject()

    async def _make(self, request: Request) -> Response:
        body = await request.body()
        embeds = request.url.path.endswith(":asyncBatchEmbedContent")
        # On a thread: it reads the batch's file, which may be large.
        made = await asyncio.to_thread(
            self.parts.developer.create,
            self.version,
            Kind.EMBED if embeds else Kind.GENERATE,
            _model(request),
            parse_object(body),
            len(body),
        )
        return reply(developer.operation(made, made.created))

    async def _list(self, request: Request) -> Response:
        return reply(self.parts.developer.list(request.query_params))

    async def _get(self, request: Request) -> Response:
        job = self.parts.developer.get(request.path_params["id"])
        return reply(developer.operation(job))

    async def _cancel(self, request: Request) -> Response:
        return reply(self.parts.developer.cancel(request.path_params["id"]))

    async def _delete(self, request: Request) -> Response:
        return reply(self.parts.developer.delete(request.path_params["id"]))

    async def _upload(self, request: Request) -> Response:
        files, headers = self.parts.files, request.headers
        command = headers.get("x-goog-upload-command", "")
        if id := request.query_params.get("upload_id"):
            offset = headers.get("x-goog-upload-offset")
            file, received = await files.receive(id, command, offset, request.stream())
            status = "final" if file or command == "cancel" else "active"
            return reply(
                {"file": file.json(self._base(request))} if file else {},
                headers={
                    "x-goog-upload-status": status,
                    "x-goog-upload-size-received": str(received),
                },
            )
        protocol = headers.get("x-goog-upload-protocol")
        kind = headers.get("content-type", "")
        match request.query_params.get("uploadType") or protocol:
            case "multipart":
                meta, kind, content = multipart.parse(kind, await request.body())
                file = await files.store(meta, kind, _once(content))
                return reply({"file": file.json(self._base(request))})
            case "media" | "raw":
                file = await files.store({}, kind, request.stream())
                return reply({"file": file.json(self._base(request))})
        if command != "start" or protocol != "resumable":
            raise invalid(
                "The kind of upload is missing: begin with the headers "
                "X-Goog-Upload-Protocol: resumable and X-Goog-Upload-Command: start, "
                "or send the file whole, with X-Goog-Upload-Protocol: multipart or raw."
            )
        id = files.begin(await _object(request), headers)
        where = f"{request.base_url}upload/{self.version}/files"
        return reply(
            {},
            headers={
                "x-goog-upload-url": (
                    f"{where}?upload_id={id}&upload_protocol=resumable"
                ),
                "x-goog-upload-status": "active",
            },
        )

    async def _files(self, request: Request) -> Response:
        query = request.query_params
        return reply(self.parts.files.page(query, self._base(request)))

    async def _file(self, request: Request) -> Response:
        file = self.parts.files.get(request.path_params["id"])
        return reply(file.json(self._base(request)))

    async def _delete_file(self, request: Request) -> Response:
        self.parts.files.delete(request.path_params["id"])
        return reply({})

    async def _download(self, request: Request) -> Response:
        file = self.parts.files.downloadable(request.path_params["id"])
        return StreamingResponse(
            file.chunks(),
            media_type=file.mime_type,
            headers={"content-length": str(file.size)},
        )

    def _base(self, request: Request) -> str:
        return f"{request.base_url}{self.version}"


class _Journalled:
    """
    Writes each request into the journal once it is answered or dropped, and sets the
    `Date` of each answer by batchsim's clock, which the times in bodies use too.
    """

    def __init__(self, app: ASGIApp, journal: Journal, clock: Clock) -> None:
        self._app = app
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sim/"):
            await self._app(scope, receive, send)
            return
        status = 0
        came, began = self._clock.now(), time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                date = format_datetime(self._clock.now(), usegmt=True)
                message["headers"].append((b"date", date.encode()))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            query = scope["query_string"].decode("latin-1").split("&")
            shown = "&".join(one for one in query if not one.startswith("key="))
            faults = scope["state"].get("faults", [])
            hung_up = not {"reset", "drop_reply"}.isdisjoint(faults)
            self._journal.add(
                {
                    "time": timestamp(came),
                    "method": scope["method"],
                    "path": scope["path"],
                    "query": shown,
                    "status": None if hung_up else status,
                    "faults": faults,
                    "took_ms": round((time.perf_counter() - began) * 1000, 2),
                }
            )


def reply(
    value: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def refusal(exc: ApiError) -> Response:
    """The response for an error."""
    wait = exc.retry_after
    headers = None if wait is None else {"retry-after": f"{wait:g}"}
    return reply(exc.envelope, exc.code, headers)


def _injected(rule: Rule) -> ApiError:
    params = rule.params
    wait = params.get("retry_after")
    message = "Injected fault: " + rule.fault
    match rule.fault:
        case "rate_limited":
            message = "Resource has been exhausted (e.g. check quota)."
            return ApiError(429, message, retry_after=wait)
        case "unavailable":
            message = "The service is currently unavailable."
            return ApiError(503, message, retry_after=wait)
        case "internal":
            return ApiError(500, "Internal error encountered.")
    return ApiError(int(params["code"]), str(params["message"]), retry_after=wait)


def _described(model: Any, body: Json) -> Subject:
    labels = body.get("labels")
    return Subject(
        str(model or ""),
        str(member(body, "displayName") or ""),
        labels if isinstance(labels, dict) else {},
    )


def _model(request: Request) -> str:
    tuned = "/tunedModels/" in request.url.path
    model = request.path_params["m"]
    return f"tunedModels/{model}" if tuned else f"models/{model}"


def _parent(request: Request) -> tuple[str, str]:
    return request.path_params["project"], request.path_params["location"]


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _object(request: Request) -> Json:
    return parse_object(await request.body())


async def _refused(request: Request, exc: ApiError) -> Response:
    return refusal(exc)


async def _no_such_path(request: Request, exc: Exception) -> Response:
    path = request.url.path
    message = f"batchsim has no method {request.method} {path}."
    if re.match(r"(/upload|/download|/resumable/upload|/batch)?/storage/v1\b", path):
        message = NO_EMULATOR
    return refusal(ApiError(404, message))
