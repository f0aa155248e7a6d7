"""A way to Firestore on which the answer to a commit can be lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud.firestore_v1.types import CommitRequest

COMMIT = "/google.firestore.v1.Firestore/Commit"


class Commits(grpc.GenericRpcHandler):  # type: ignore[misc]
    """
    Passes every call on to the emulator at `target`, and its answer back, but for the
    commits that it has to lose: those are applied, and their answers are dropped.

        with Commits("127.0.0.1:8080") as way:
            env["FIRESTORE_EMULATOR_HOST"] = way.address
            way.lose("submitted", grpc.StatusCode.UNAVAILABLE)
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._losing: dict[str, grpc.StatusCode] = {}
        self._lock = threading.Lock()

    def lose(self, what: str, status: grpc.StatusCode) -> None:
        """
        Lose the answer to the next commit that writes this: a job's phase, "collected"
        for its results, "gathered" for the beginning of a round in which rows go again,
        or "published" for an announcement's mark. The caller gets
        `status` in its place: UNAVAILABLE, after which Google's client commits again,
        or DEADLINE_EXCEEDED, after which it doesn't.
        """
        with self._lock:
            self._losing[what] = status

    def forgive(self) -> None:
        """Lose no more."""
        with self._lock:
            self._losing.clear()

    def waiting(self) -> list[str]:
        """What has not been written yet, of what is to be lost."""
        with self._lock:
            return list(self._losing)

    def __enter__(self) -> Self:
        self._channel = grpc.insecure_channel(self._target)
        self._server = grpc.server(ThreadPoolExecutor(32, "commits"), [self])
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()
        self._channel.close()

    def service(self, details: Any) -> Any:
        method = details.method

        # On the wire a stream of one message is what a single message is.
        def call(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            status = None
            if method == COMMIT:
                request = next(requests)
                status = self._status(request)
                requests = iter([request])
            try:
                answers = self._channel.stream_stream(method)(
                    requests,
                    timeout=context.time_remaining(),
                    metadata=[
                        (name, value)
                        for name, value in context.invocation_metadata()
                        if name != "user-agent"
                    ],
                )
                for answer in answers:
                    if status is not None:
                        context.abort(status, "the answer was lost")
                    yield answer
            except grpc.RpcError as exc:
                context.abort(exc.code(), exc.details())

        return grpc.stream_stream_rpc_method_handler(call)

    def _status(self, request: bytes) -> grpc.StatusCode | None:
        """With what a commit's answer is to be replaced, if it is to be lost."""
        with self._lock:
            for what in written(request):
                if status := self._losing.pop(what, None):
                    return status
        return None


def written(request: bytes) -> set[str]:
    """The phases that a commit writes, and what else `lose` names."""
    found = set()
    commit = CommitRequest.pb(CommitRequest.deserialize(request))
    for write in commit.writes:
        fields = write.update.fields
        if "/jobs/" in write.update.name and "phase" in fields:
            found.add(fields["phase"].string_value)
        elif fields["results"].HasField("map_value"):
            found.add("collected")
        elif fields["gathered"].HasField("map_value"):
            found.add("gathered")
        elif fields["published_at"].HasField("timestamp_value"):
            found.add("published")
    return found
