"""One simulator: its parts put together, and served."""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from batchsim import app, models
from batchsim.bucket import Bucket, cloud_storage
from batchsim.clock import REAL, Clock
from batchsim.developer import Developer
from batchsim.faults import Faults
from batchsim.files import Files
from batchsim.inputs import Inputs
from batchsim.journal import Journal
from batchsim.models import Model
from batchsim.outputs import Outputs
from batchsim.running import Runner
from batchsim.serving import listen, serving
from batchsim.settings import Limits, Settings
from batchsim.storage import Buckets
from batchsim.store import Store
from batchsim.tables import Tables
from batchsim.timeline import Timeline
from batchsim.vertex import Vertex


class BatchSim:
    """
    Both of Google's LLM batch APIs on a loopback port, for the length of a block.

        with BatchSim(speed=0) as sim:
            client = genai.Client(..., http_options={"base_url": sim.url})
            sim.clock.advance(hours=1)

    speed
        Seconds on its clock per real second. 0: it stands still until it is advanced.
    clock
        A clock of your own, in place of `speed`.
    queue_seconds, run_seconds
        How long a job is PENDING, then RUNNING, on that clock.
    model
        Answers the rows: `echo`, `template(...)`, or a function that takes a `Prompt`
        and returns a text or a whole response, or raises `RowFailed`.
    storage, bigquery
        Addresses of emulators, by default `STORAGE_EMULATOR_HOST` and
        `BIGQUERY_EMULATOR_HOST`. Google's own are never used.
    seed
        Decides the order of answers, and when a fault with a probability happens.
    admin
        Whether /_sim is served.
    port
        0 takes a free port. `start` raises OSError if the port is taken.

    All of `settings` and `settings.limits` may be changed while it runs.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = REAL,
        clock: Clock | None = None,
        queue_seconds: float = 2.0,
        run_seconds: float = 3.0,
        model: Model = models.echo,
        storage: str | None = None,
        bigquery: str | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        admin: bool = True,
    ) -> None:
        self.clock = clock or Clock(speed)
        self.settings = Settings(
            queue_seconds=queue_seconds,
            run_seconds=run_seconds,
            model=model,
            seed=seed,
            limits=limits or Limits(),
        )
        self.faults = Faults(seed)
        self._bucket: Bucket | None = None
        self._wanting_storage: list[Callable[[str], None]] = []
        self._host, self._port = host, port
        self._store = Store()
        self._journal = Journal()
        self._timeline = Timeline(self.clock)
        self._files = Files(self.clock, self.settings)
        self._buckets, tables = Buckets(storage), Tables(bigquery)
        self._runner = Runner(
            self.clock,
            self._timeline,
            self._store,
            self.settings,
            Inputs(self.settings, self._buckets, tables, self._files),
            Outputs(self.settings, self._buckets, tables, self._files, self.faults),
            self.faults,
        )
        self.faults.on_removal(self._runner.release)
        vertex = Vertex(
            self.clock, self._store, self._runner, self.faults, self.settings
        )
        developer = Developer(
            self.clock,
            self._store,
            self._runner,
            self._files,
            self.faults,
            self.settings,
        )
        self.app = app.build(
            app.Parts(
                clock=self.clock,
                timeline=self._timeline,
                store=self._store,
                settings=self.settings,
                faults=self.faults,
                files=self._files,
                journal=self._journal,
                vertex=vertex,
                developer=developer,
                reset=self.reset,
            ),
            with_admin=admin,
        )
        self._open = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The address, `http://HOST:PORT`, once it has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def storage(self) -> Bucket:
        """
        A bucket that jobs on Vertex can read from and write to.

        The first use starts fake-gcs-server, which ends with the simulator, unless an
        emulator is named. RuntimeError if fake-gcs-server isn't installed.
        """
        if self._bucket is None:
            address = self._buckets.address
            if address is None:
                address = self._open.enter_context(cloud_storage())
                self._open.callback(self._buckets.use, None)
                self._buckets.use(address)
            self._bucket = Bucket(address)
            for listener in self._wanting_storage:
                listener(address)
        return self._bucket

    def on_storage(self, listener: Callable[[str], None]) -> None:
        """Calls `listener` with the address of `storage` on its first use."""
        self._wanting_storage.append(listener)

    def start(self) -> None:
        """Starts to serve, on a thread. OSError if the port is taken."""
        listener = listen(self._host, self._port)
        self._port = int(listener.getsockname()[1])
        self._buckets.own = self.url
        self._open.callback(self._timeline.close)
        self._open.enter_context(serving(self.app, listener))

    def stop(self) -> None:
        """Stops serving, and deletes everything."""
        self._open.close()
        self._bucket = None
        self.reset()

    def reset(self) -> None:
        """Deletes jobs, files, faults and the log. The clock is not reset."""
        self._runner.forget()
        self.faults.clear()
        self._store.clear()
        self._files.clear()
        self._journal.clear()

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
