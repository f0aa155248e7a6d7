"""The Firestore of the emulator, asked in the way that costs a test least."""

from collections import Counter
from typing import Any, ClassVar

import grpc
from google.cloud import firestore


class Database(firestore.Client):
    """
    Google's own client. What it reads is read by the thread that asks: gRPC starts a
    thread for each query and each document otherwise, which is half of the wait.

    A channel that nobody closes is taken down whenever its memory is collected, by
    whatever thread that is; gRPC was seen to crash in one.

    Attributes:
        left_open: the projects whose channels are still open.
    """

    left_open: ClassVar[set[str]] = set()

    def close(self) -> None:
        super().close()
        self.left_open.discard(self.project)

    def _emulator_channel(self, transport: Any) -> grpc.Channel:
        self.left_open.add(self.project)
        single = grpc.experimental.ChannelOptions.SingleThreadedUnaryStream
        return grpc.insecure_channel(self._emulator_host, options=[(single, 1)])


class CountedDatabase(Database):
    """The same, which counts the calls that leave the process, by their names."""

    def __init__(self, project: str) -> None:
        super().__init__(project=project)
        self.calls: Counter[str] = Counter()

    def _emulator_channel(self, transport: Any) -> grpc.Channel:
        channel = super()._emulator_channel(transport)
        return grpc.intercept_channel(channel, _Counting(self.calls))


class _Counting(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]  # gRPC has no types
    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls

    def intercept_unary_unary(self, call: Any, details: Any, request: Any) -> Any:
        return self._counted(call, details, request)

    def intercept_unary_stream(self, call: Any, details: Any, request: Any) -> Any:
        return self._counted(call, details, request)

    def _counted(self, call: Any, details: Any, request: Any) -> Any:
        self._calls[details.method.rpartition("/")[2]] += 1
        return call(details, request)
