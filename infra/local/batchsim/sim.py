"""One simulator: its parts put together, and served."""

import contextlib
from types import TracebackType
from typing import Self

from batchsim import app as http
from batchsim.clock import Clock
from batchsim.running import Runner
from batchsim.serving import listen, serving
from batchsim.settings import Settings
from batchsim.storage import Buckets
from batchsim.store import Store
from batchsim.timeline import Timeline
from batchsim.vertex import Vertex


class BatchSim:
    """
    Both batch APIs on a loopback port, for the length of a block.

        with BatchSim(clock=Clock(speed=0)) as sim:
            client = genai.Client(..., http_options={"base_url": sim.url})
            sim.clock.advance(hours=1)

    Cloud Storage is the emulator at `storage`, by default `STORAGE_EMULATOR_HOST`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        settings: Settings | None = None,
        storage: str | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.settings = settings or Settings()
        self._host = host
        self._port = port
        self._timeline = Timeline(self.clock)
        self._store = Store()
        self._runner = Runner(
            self.clock, self._timeline, self._store, self.settings, Buckets(storage)
        )
        dialect = Vertex(self.clock, self._store, self._runner)
        self.app = http.build(self.clock, self._timeline, self._store, dialect)
        self._open = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Its address, `http://HOST:PORT`, once it has been started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Begin to serve, on a thread. OSError if the port is taken."""
        listener = listen(self._host, self._port)
        self._port = int(listener.getsockname()[1])
        self._open.callback(self._timeline.close)
        self._open.enter_context(serving(self.app, listener))

    def stop(self) -> None:
        """Answer no more, and drop what is held."""
        self._open.close()
        self._runner.forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
