"""The Firestore of the emulator, asked in the way that costs a test least."""

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
