"""The engine of a cluster: Ray Data with a pool of actors, each with the stage's worker loaded.

What crosses the cluster: *chunks* of whole batches of tasks (ids, records and paths, no pictures) go out,
their results (records and encoded pictures) come back and are stored by this process. So the nodes must see
the source files under the same paths, and need not be able to write any.

What Ray does: it keeps the pool, starts a worker again whose process or node died, and gives it the chunks
that were lost; at most two chunks a worker are under way. What is added here: errors come back as results, so
that they read as those of the local engine do; a :class:`Ledger` counts what a batch has brought down, as Ray
would try forever; and nodes with another version of the code are refused.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import pickle
import platform
import signal
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2

from skin_pipeline.engines.batches import BatchMaker, Made, OnResult, name_items, split_into_batches
from skin_pipeline.engines.parameters import RayParameters, WorkerResources
from skin_pipeline.errors import ConfigurationError, SkinPipelineError
from skin_pipeline.items import Plan, Rejection, Task, Worker, source_digest

TASKS_PER_CHUNK = 16
"""Small batches travel together up to this many tasks, as each chunk costs Ray some milliseconds."""

CHUNKS_PER_WORKER = 4
"""Chunks are smaller than that if otherwise each worker had fewer than this many."""

CHUNKS_UNDER_WAY = 2
"""Chunks that a worker has at a time: the one it makes, and the next."""

KNOCK_SECONDS = 10
"""A cluster's head answers within this time."""

logger = logging.getLogger(__name__)

Chunk = list[Sequence[Task]]
"""Batches that travel together."""


@dataclass(frozen=True)
class Answer:
    """What a worker makes of a chunk.

    Attributes:
        results: One a task, in order; fewer than tasks if there is an error.
        error: What the batch after them raised.
        warnings: What the worker logged: name of the logger, level, message.
    """

    results: list[Made | Rejection]
    error: Exception | None
    warnings: list[tuple[str, int, str]] = field(default_factory=list)


class RayEngine:
    """Makes items in actors on a Ray cluster."""

    def __init__(self, parameters: RayParameters) -> None:
        """Keep the configuration; Ray is started (or connected to) when there is something to make.

        Args:
            parameters: Which cluster, and what a worker takes of it.
        """
        self._parameters = parameters

    def preflight(self) -> None:
        """Raise if Ray cannot be used as configured; starts nothing.

        Raises:
            ConfigurationError: Ray is not installed, or its address is of a kind that does not serve here.
        """
        if importlib.util.find_spec("ray") is None:
            raise ConfigurationError(
                "engine.kind is 'ray', but Ray is not installed. Run `pip install 'skin_pipeline[ray]'` here "
                "and on the cluster's nodes, or set engine.kind to 'local' (conf/<env>/globals.yml)."
            )
        if "://" in self._address:
            raise ConfigurationError(
                f"RAY_ADDRESS is '{self._address}'. Ray Data needs a process on a node of the cluster: run "
                "this command there (or hand it to `ray job submit`) with RAY_ADDRESS=host:port or unset."
            )

    @property
    def _address(self) -> str:
        """Where the cluster is, in Ray's words."""
        return self._parameters.address or os.environ.get("RAY_ADDRESS") or "local"

    def run(self, plan: Plan, tasks: Sequence[Task], on_result: OnResult) -> None:
        """Make items; see :meth:`skin_pipeline.engines.Engine.run`.

        Raises:
            ConfigurationError: There is no such cluster, or no room for a worker in it.
        """
        chunks = split_into_chunks(plan, tasks)
        if not chunks:
            return
        self.preflight()
        _connect(self._address, self._parameters.environment)
        try:
            with closing(self._answers(plan, chunks)) as answers:
                for chunk, answer in answers:
                    _hand_over(chunk, answer, on_result)
        except BaseException:
            _disconnect()  # ends what is under way
            raise

    def _answers(self, plan: Plan, chunks: list[Chunk]) -> Generator[tuple[Chunk, Answer], None, None]:
        """Have chunks made; yield each with its answer as it comes."""
        import ray

        resources = self._parameters.stages.get(plan.stage, self._parameters.worker)
        num_workers = min(plan.num_workers, len(chunks))
        self._require_room(resources)
        workers = _count(num_workers, "worker")
        logger.info("%s: %s on Ray (%s), each %s", plan.stage, workers, _cluster(), _say(resources))
        ledger = _start_ledger()
        try:
            with self._data_context():
                answers = ray.data.from_items(
                    [{"chunk": number, "tasks": pickle.dumps(chunk)} for number, chunk in enumerate(chunks)],
                    override_num_blocks=len(chunks),
                ).map(
                    ChunkWorker,
                    fn_constructor_args=(
                        plan.stage,
                        plan.make_worker,
                        {module: source_digest(module) for module in plan.modules},
                        ledger,
                        self._parameters.max_attempts,
                    ),
                    compute=ray.data.ActorPoolStrategy(
                        size=num_workers, max_tasks_in_flight_per_actor=CHUNKS_UNDER_WAY
                    ),
                    num_cpus=resources.num_cpus,
                    num_gpus=resources.num_gpus,
                )
            with self._errors_explained(plan.stage, resources):
                for block in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
                    for row in block.to_pylist():
                        yield chunks[row["chunk"]], pickle.loads(row["answer"])  # noqa: S301 - our worker's
        finally:
            ray.kill(ledger)

    @contextmanager
    def _errors_explained(self, stage: str, resources: WorkerResources) -> Iterator[None]:
        """Say what to do about what Ray itself raises."""
        from ray.data.exceptions import ExecutionTimeoutError
        from ray.exceptions import RayError

        try:
            yield
        except ExecutionTimeoutError as exc:
            raise SkinPipelineError(
                f"Stage '{stage}': Ray finished nothing for {self._parameters.stall_seconds:.0f} s "
                f"({_cluster()}; a worker takes {_say(resources)}). If others use the cluster, wait for them;"
                " if a batch takes longer, raise engine.ray.stall_seconds (conf/<env>/globals.yml). Then run "
                "the same command again; what is done is kept."
            ) from exc
        except RayError as exc:
            raise SkinPipelineError(
                f"Stage '{stage}': Ray gave up: {_last_line(exc)}. Mend the cluster and run the same "
                "command again, there or with engine.kind 'local'; what is done is kept."
            ) from exc

    @contextmanager
    def _data_context(self) -> Iterator[None]:
        """Set what Ray Data's executions of this engine have in common."""
        from ray.data import DataContext, ExecutionResources

        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = 0  # with others, a dead pool waits forever (ray-project/ray#62746)
        context.execution_no_progress_timeout_s = self._parameters.stall_seconds
        context.execution_options.resource_limits = ExecutionResources.for_limits(
            object_store_memory=self._parameters.max_results_mib * 2**20
        )
        with DataContext.current(context):
            yield

    def _require_room(self, resources: WorkerResources) -> None:
        """Raise (or warn, of a cluster that may grow) if no node could hold one worker."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(
            node.get("CPU", 0) >= resources.num_cpus and node.get("GPU", 0) >= resources.num_gpus
            for node in nodes
        ):
            return
        message = f"No node of the cluster ({_cluster()}) has {_say(resources)}, which one worker takes."
        if self._address == "local":
            raise ConfigurationError(
                f"{message} Lower engine.ray.worker or engine.ray.stages (conf/<env>/globals.yml)."
            )
        logger.warning("%s Waiting up to %.0f s for one.", message, self._parameters.stall_seconds)


def _hand_over(chunk: Chunk, answer: Answer, on_result: OnResult) -> None:
    """Log what the worker warned of, report its results one by one, and raise its error."""
    for name, level, message in answer.warnings:
        logging.getLogger(name).log(level, "%s", message)
    made = (task for batch in chunk for task in batch)
    for task, result in zip(made, answer.results, strict=answer.error is None):
        on_result(task, result)
    if answer.error is not None:
        raise answer.error


def split_into_chunks(plan: Plan, tasks: Sequence[Task]) -> list[Chunk]:
    """Cut tasks, in their order, into chunks of whole batches.

    Args:
        plan: Says how large a batch is, and how many workers share the chunks.
        tasks: What is to be made.

    Returns:
        Chunks of up to 16 tasks (or one batch), small enough for each worker to have some.
    """
    batches = split_into_batches(plan, tasks)
    size = max(1, TASKS_PER_CHUNK // plan.batch_size)
    size = min(size, math.ceil(len(batches) / (CHUNKS_PER_WORKER * plan.num_workers)))
    return [batches[start : start + size] for start in range(0, len(batches), max(1, size))]


class Ledger:
    """Knows which batches were under way when workers died; an actor beside the process that stores results.

    The first time, a chunk is made without asking about each batch. Whoever starts it again announces each of
    its batches, so that the one that brings workers down is known the next time.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._starts: Counter[int] = Counter()
        self._under_way: dict[int, int | None] = {}
        self._deaths: dict[int, Counter[int]] = {}

    def start(self, chunk: int) -> tuple[int, dict[int, int]]:
        """Note that a chunk is started.

        Args:
            chunk: Its number.

        Returns:
            How often it was started by now, and how many workers each of its batches has brought down since
            the second start, by the batch's place in the chunk.
        """
        self._starts[chunk] += 1
        deaths = self._deaths.setdefault(chunk, Counter())
        batch = self._under_way.pop(chunk, None)
        if batch is not None:
            deaths[batch] += 1
        return self._starts[chunk], dict(deaths)

    def begin(self, chunk: int, batch: int | None) -> None:
        """Note which batch of a chunk is under way; None when all are made."""
        self._under_way[chunk] = batch


class ChunkWorker:
    """Makes chunks in an actor; the first one builds the stage's worker."""

    def __init__(
        self,
        stage: str,
        make_worker: Callable[[], Worker],
        digests: Mapping[str, str],
        ledger: Any,
        max_attempts: int,
    ) -> None:
        """Prepare the process. Nothing here can fail for want of weights or memory.

        Args:
            stage: Name of the stage.
            make_worker: Returns the stage's worker.
            digests: Source digests of the stage's modules where the run was started.
            ledger: Handle of the :class:`Ledger`.
            max_attempts: How often a batch may bring its process down.
        """
        cv2.setNumThreads(1)
        self._stage = stage
        self._digests = digests
        self._ledger = ledger
        self._max_attempts = max_attempts
        self._make_batch = BatchMaker(stage, make_worker)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Make one chunk.

        Args:
            row: ``chunk``, its number, and ``tasks``, the pickled batches.

        Returns:
            ``chunk``, and the pickled :class:`Answer` as ``answer``.
        """
        results: list[Made | Rejection] = []
        error = None
        with _collected_warnings() as warnings:
            try:
                _require_same_sources(self._digests)
                self._make(row["chunk"], pickle.loads(row["tasks"]), results)  # noqa: S301 - from our own engine
            except Exception as exc:  # travels as a result; Ray would wrap it, and name no items
                exc.add_note("".join(traceback.format_exception(exc)))
                error = exc
        return {"chunk": row["chunk"], "answer": pickle.dumps(Answer(results, error, warnings))}

    def _make(self, number: int, chunk: Chunk, results: list[Made | Rejection]) -> None:
        """Append a chunk's results, batch by batch."""
        import ray

        num_starts, deaths = ray.get(self._ledger.start.remote(number))
        for place, batch in enumerate(chunk):
            if deaths.get(place, 0) >= self._max_attempts - 1:
                raise SkinPipelineError(
                    f"Stage '{self._stage}': the worker process died {self._max_attempts} times while making "
                    f"{name_items(batch)} (out of memory, or a file that crashes a library). Give "
                    "workers more memory, lower the batch size or remove the file, and run the same command "
                    "again; what is done is kept."
                )
            if num_starts > 1:
                ray.get(self._ledger.begin.remote(number, place))
            results += self._make_batch(batch)
        if num_starts > 1:
            ray.get(self._ledger.begin.remote(number, None))


_is_ours = False
"""Whether this module connected this process to Ray; then all stages share the connection until it ends."""


def _connect(address: str, environment: Mapping[str, str]) -> None:
    """Start Ray or connect to a cluster, unless this process has."""
    global _is_ours  # noqa: PLW0603 - Ray has one connection a process
    import ray
    import ray.data  # sets its logger up, which is quietened here

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ours = {"include_dashboard": False} if address == "local" else {}
    with _sigterm_handler_kept():
        try:
            _knock(address)
            ray.init(
                address=address,
                runtime_env={"env_vars": dict(environment)} if environment else None,
                log_to_driver=False,
                configure_logging=False,
                **ours,
            )
        except (OSError, RuntimeError) as exc:
            raise ConfigurationError(
                f"Ray cannot work at address '{address}' (engine.ray.address or RAY_ADDRESS): "
                f"{_last_line(exc)}. Start a cluster there (`ray start --head`; if it asks for a token, set "
                "RAY_AUTH_MODE=token here, too), or set it to 'local'."
            ) from exc
    _is_ours = True


def _knock(address: str) -> None:
    """Raise at once if nobody listens at ``host:port``; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def _disconnect() -> None:
    """End what this module has under way; a connection that somebody else made is left to them."""
    import ray

    if _is_ours:
        ray.shutdown()


@contextmanager
def _sigterm_handler_kept() -> Iterator[None]:
    """Undo that Ray takes over how SIGTERM ends this process, if that was said before."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _start_ledger() -> Any:
    """Start a ledger on this process's own node, where it lives as long as the run."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Ledger).remote()


def _require_same_sources(digests: Mapping[str, str]) -> None:
    """Raise if a module here is not the one that the items' keys are about."""
    for module, digest in digests.items():
        if source_digest(module) != digest:
            raise ConfigurationError(
                f"Node {platform.node()} has another version of {module} than the machine that started the "
                "run, so its results could differ. Install the same version of skin_pipeline on both."
            )


class _Collector(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.name, record.levelno, record.getMessage()))


@contextmanager
def _collected_warnings() -> Iterator[list[tuple[str, int, str]]]:
    """Collect this package's warnings, which are to be seen where the run was started."""
    collector = _Collector()
    package = logging.getLogger("skin_pipeline")
    package.addHandler(collector)
    try:
        yield collector.records
    finally:
        package.removeHandler(collector)


def _cluster() -> str:
    """Say what the cluster has."""
    import ray

    total = ray.cluster_resources()
    num_nodes = sum(node["Alive"] for node in ray.nodes())
    sizes = (num_nodes, "node"), (total.get("CPU", 0), "CPU"), (total.get("GPU", 0), "GPU")
    return ", ".join(_count(number, thing) for number, thing in sizes)


def _say(resources: WorkerResources) -> str:
    """Say what a worker takes."""
    cpus = _count(resources.num_cpus, "CPU")
    return f"{cpus} and {_count(resources.num_gpus, 'GPU')}" if resources.num_gpus else cpus


def _count(number: float, thing: str) -> str:
    """Say how many there are of something."""
    return f"{number:g} {thing}{'' if number == 1 else 's'}"


def _last_line(exc: Exception) -> str:
    """Return what went wrong, without the traceback that Ray puts before it."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return f"{type(exc).__name__}: {lines[-1]}" if lines else type(exc).__name__
