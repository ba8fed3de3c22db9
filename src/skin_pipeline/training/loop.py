"""The training loop: one function, :func:`train`, that reads like the method, and the steps it names.

Shapes: B batch, C latent channels, h w latent cells.
"""

import contextlib
import hashlib
import logging
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skin_pipeline.errors import ConfigurationError, TrainingError
from skin_pipeline.recognition.torch_recognizer import TorchRecognizer, load_recognizer
from skin_pipeline.training.backend import Batch, ModelFamily
from skin_pipeline.training.cache import EncodingCache, fill_cache
from skin_pipeline.training.checkpoints import (
    STATE,
    Checkpoints,
    check_identity,
    check_shared,
    publish_weights,
    step_of,
)
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.data import EncodedSamples, Sample, TrainingSet, as_tensor, read_training_set
from skin_pipeline.training.eviction import evict, in_use
from skin_pipeline.training.families import load_family
from skin_pipeline.training.lifecycle import StopRequest, listening_for_stop, sole_user
from skin_pipeline.training.metrics import MetricsFile, Pace
from skin_pipeline.training.objective import LossWeights, predict, squared_errors
from skin_pipeline.training.optimizers import make_optimizer
from skin_pipeline.training.out_of_memory import explaining_out_of_memory
from skin_pipeline.training.sampling import SampleOrder, seed_of
from skin_pipeline.training.schedules import learning_rate_share
from skin_pipeline.training.text_loss import TextLoss, cell_weights
from skin_pipeline.training.validation import (
    HeldOutLoss,
    draw_validation_pictures,
    save_picture,
    subject_of,
)

logger = logging.getLogger(__name__)


def train(run: TrainingRun) -> bool:
    """Train a ControlNet, or go on where an earlier start of the same run stopped.

    Args:
        run: The parameters and where everything lies.

    Returns:
        True when all steps are made, False when training was asked to end and saved a checkpoint.

    Raises:
        SkinPipelineError: The data, the parameters or the machine do not allow it, or a loss is not finite.
    """
    # --- the machine and the run's folder ---------------------------------------------------------------
    p = run.parameters
    accelerator = _start_processes(run)
    run.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(listening_for_stop())
        if accelerator.is_main_process:
            stack.enter_context(sole_user(run.folder))
        accelerator.wait_for_everyone()
        stack.enter_context(explaining_out_of_memory(p, accelerator))

        # --- the data and the model: frozen parts, and the ControlNet -----------------------------------
        data = read_training_set(run.dataset_folder, p)
        with accelerator.main_process_first():
            backend = load_family(p)
        backend.to(accelerator.device, _dtype(accelerator))
        recognizer = _load_recognizer(p, accelerator)
        record = _record(run, data, backend, recognizer, accelerator)
        if accelerator.is_main_process:
            check_identity(run.folder, _identity(run, record))
        accelerator.wait_for_everyone()
        check_shared(run.folder, accelerator.process_index)
        cache = _encode(run, data, backend, accelerator, stop, stack)

        # --- the optimizer, and an earlier start's state -------------------------------------------------
        text_loss = None if recognizer is None else TextLoss(backend, p, recognizer, cache.load_no_text())
        t = _Training(run, accelerator, backend, record, stop, text_loss)
        first_step = t.resume()
        metrics = stack.enter_context(_metrics(run, accelerator, first_step))
        t.metrics = metrics

        # --- the loop: batch, loss, step; report, validate, save ----------------------------------------
        samples = EncodedSamples(data.train, cache, p, backend.num_train_timesteps)
        batches = _batches(samples, p, accelerator, first_step)
        held_out = HeldOutLoss(data.validation, cache, p, backend.num_train_timesteps, text_loss)
        learnt = HeldOutLoss(data.train, cache, p, backend.num_train_timesteps)
        if first_step == 0:
            t.validate(0, held_out, learnt, data.validation, cache)
        pace = Pace()
        for step in range(first_step, p.max_train_steps):
            if t.is_asked_to_stop():
                return t.stop_at(step)
            seen = t.step(step, batches, pace)
            made = step + 1
            if made % p.log_steps == 0 or made == p.max_train_steps:
                t.report(made, seen, pace)
            if made % p.validation_steps == 0 or made == p.max_train_steps:
                t.validate(made, held_out, learnt, data.validation, cache)
                pace.restart()
            if made % p.checkpointing_steps == 0 or made == p.max_train_steps:
                t.save(made)
                pace.restart()
        # --- the weights -----------------------------------------------------------------------------------
        t.publish()
        return True


class _Pending:
    """Losses of the steps since the last report; saved, so that a resumed run reports the same means."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.text_losses: list[float] = []

    def state_dict(self) -> dict[str, list[float]]:
        return {"losses": self.losses, "text_losses": self.text_losses}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        self.losses = list(state["losses"])
        self.text_losses = list(state.get("text_losses", ()))


@dataclass(frozen=True)
class _Step:
    """What is reported of an optimizer step.

    Attributes:
        grad_norm: Length of the gradient before clipping.
        sample_ids: The pictures that this process saw.
    """

    grad_norm: float
    sample_ids: tuple[str, ...]


class _Training:
    """What moves in a run: weights, optimizer, moving average; and how each stage of the loop is done."""

    def __init__(
        self,
        run: TrainingRun,
        accelerator: Accelerator,
        backend: ModelFamily,
        record: dict[str, Any],
        stop: StopRequest,
        text_loss: TextLoss | None,
    ) -> None:
        p = run.parameters
        self.run, self.p, self.accelerator, self.backend = run, p, accelerator, backend
        self.record, self.stop = record, stop
        self.text_loss = text_loss if p.text.is_on else None
        self.metrics: MetricsFile | _NoMetrics = _NoMetrics()
        self.weights_of = LossWeights(backend, p)
        self.checkpoints = Checkpoints(run.folder, p.checkpoints_total_limit)
        self.saved_at: int | None = None
        optimizer = make_optimizer(backend.parameter_groups(), p, accelerator.device)
        self.controlnet, self.optimizer = accelerator.prepare(
            backend.controlnet, optimizer, device_placement=[True, False]
        )
        # A step has its own autocast; accelerate's wrapper beside it would turn all residuals to fp32.
        accelerator.unwrap_model(self.controlnet, keep_fp32_wrapper=False)
        self.trained = [parameter for parameter in backend.controlnet.parameters() if parameter.requires_grad]
        self.average_device = torch.device("cpu") if p.ema_device == "cpu" else accelerator.device
        self.average = EMAModel(self._trained_for_average(), decay=p.ema_decay) if p.ema_decay else None
        self.pending = _Pending()
        accelerator.register_for_checkpointing(self.pending)
        if self.average is not None:
            accelerator.register_for_checkpointing(self.average)
        accelerator.register_save_state_pre_hook(self._keep_trained)

    def _trained_for_average(self) -> list[Tensor]:
        """Return the trained weights where the moving average is."""
        return [parameter.to(self.average_device) for parameter in self.trained]

    def _keep_trained(self, _models: list[nn.Module], weights: list[dict[str, Tensor]], _folder: str) -> None:
        """Leave out of a light ControlNet's state what is frozen, which other files have."""
        is_whole = self.p.controlnet_kind == "full"
        parameters = () if is_whole else self.backend.controlnet.parameters()
        frozen = {p.data_ptr() for p in parameters if not p.requires_grad}
        weights[:] = [
            {name: tensor.contiguous() for name, tensor in state.items() if tensor.data_ptr() not in frozen}
            for state in weights
        ]

    def resume(self) -> int:
        """Load the newest complete checkpoint, if there is one; return the steps already made."""
        latest = self.checkpoints.latest()
        steps_of_main = [0 if latest is None else step_of(latest)]
        broadcast_object_list(steps_of_main)  # another machine's view of a shared disk may be old
        (steps,) = steps_of_main
        if self.accelerator.is_main_process:
            self.checkpoints.report_incomplete()
        if not steps:
            return 0
        state = self.checkpoints.path_of(steps) / STATE
        is_whole = self.p.controlnet_kind == "full"  # else what is frozen is not in it
        self.accelerator.load_state(str(state), strict=is_whole)
        if self.average is not None:
            self.average.to(self.average_device)
        logger.info("Resuming at step %d.", steps)
        self.saved_at = steps
        return steps

    def step(self, step: int, batches: Iterator[Batch], pace: Pace) -> _Step:
        """Make one optimizer step, from all its passes, and return what to report of it."""
        accelerator, p = self.accelerator, self.p
        torch.manual_seed(seed_of("step", p.seed, step, accelerator.process_index))
        share = learning_rate_share(p, step)
        for group in self.optimizer.param_groups:
            group["lr"] = p.learning_rate * group["lr_factor"] * share
        losses: list[Tensor] = []
        text_losses: list[Tensor] = []
        sample_ids: list[str] = []
        grad_norm = torch.zeros(())
        for _ in range(p.gradient_accumulation_steps):
            began = time.perf_counter()
            batch = next(batches).to(accelerator.device)
            pace.waited(time.perf_counter() - began)
            with accelerator.accumulate(self.controlnet):
                prediction, target = predict(self.backend, self.controlnet, batch, accelerator.autocast())
                cells = cell_weights(batch, p.legend_weight) if p.legend_weight > 1 else None
                errors = squared_errors(prediction, target, cells) * self.weights_of(batch.timesteps)
                if self.text_loss is not None:
                    text = self.text_loss(self.controlnet, batch, prediction, accelerator.autocast, step)
                    text_losses.append(text.detach())
                    errors = errors + text
                accelerator.backward(errors.mean())
                losses.append(errors.detach())
                sample_ids.extend(batch.sample_ids)
                if accelerator.sync_gradients:
                    grad_norm = accelerator.clip_grad_norm_(self.trained, p.max_grad_norm)
                    self.pending.losses.append(
                        self._checked_loss(step, torch.cat(losses), grad_norm, sample_ids)
                    )
                    if text_losses:
                        everywhere = accelerator.gather(torch.cat(text_losses))
                        self.pending.text_losses.append(float(everywhere.mean()))
                self.optimizer.step()
                self.optimizer.zero_grad()
        if self.average is not None:
            self.average.step(self._trained_for_average())
        pace.seen(p.train_batch_size)
        return _Step(float(grad_norm), tuple(sample_ids))

    def _checked_loss(self, step: int, losses: Tensor, grad_norm: Tensor, sample_ids: list[str]) -> float:
        """Return the mean over all processes; raise if it, or the gradient, is not finite."""
        everywhere = self.accelerator.gather(losses)
        scaled = self.accelerator.scaler is not None  # with fp16 an infinite gradient is a skipped step
        if bool(torch.isfinite(everywhere).all()) and (scaled or bool(torch.isfinite(grad_norm))):
            return float(everywhere.mean())
        named = [name for name, loss in zip(sample_ids, losses.tolist(), strict=True) if not abs(loss) < 1e38]
        latest = self.checkpoints.latest()
        raise TrainingError(
            f"Training stopped at step {step + 1}: the loss or its gradient is not finite for"
            f" {', '.join(named or sample_ids)}. Last good checkpoint:"
            f" {latest.name if latest else 'none'}. Look at these pictures, lower train.learning_rate"
            f" ({self.p.learning_rate}), or set train.mixed_precision to no or bf16."
        )

    def report(self, made: int, last: _Step, pace: Pace) -> None:
        """Write a line of training metrics: the mean loss since the last one, the rest of the last step."""
        losses, self.pending.losses = self.pending.losses, []
        text_losses, self.pending.text_losses = self.pending.text_losses, []
        self.metrics.write(
            "train",
            step=made,
            images_seen=made * self.p.train_batch_size,
            loss=sum(losses) / len(losses),
            **({"loss_text": sum(text_losses) / len(text_losses)} if text_losses else {}),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            grad_norm=last.grad_norm,
            samples=self._digest_everywhere(last.sample_ids),
            **pace.lap(),
            peak_memory_gib=round(_peak_memory_gib(self.accelerator.device), 3),
        )

    def _digest_everywhere(self, sample_ids: tuple[str, ...]) -> str:
        """Return a short digest of the pictures that all processes saw, in whatever order."""
        numbers = torch.tensor([seed_of(name) for name in sample_ids], device=self.accelerator.device)
        everywhere = sorted(self.accelerator.gather(numbers).tolist())
        return hashlib.sha256(str(everywhere).encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def weights_to_judge(self) -> Iterator[nn.Module]:
        """Hand out the ControlNet, unwrapped; with a moving average, for the while, with its weights."""
        controlnet = self.accelerator.unwrap_model(self.controlnet)
        if self.average is not None:
            self.average.store(self.trained)
            self.average.copy_to(self.trained)
        try:
            yield controlnet
        finally:
            if self.average is not None:
                self.average.restore(self.trained)

    def validate(
        self,
        made: int,
        held_out: HeldOutLoss,
        learnt: HeldOutLoss,
        samples: tuple[Sample, ...],
        cache: EncodingCache,
    ) -> None:
        """Measure held-out and learnt skins, on all processes, and draw pictures, on the main one."""
        accelerator = self.accelerator
        with self.weights_to_judge() as controlnet:
            share = slice(accelerator.process_index, None, accelerator.num_processes)
            values, beside = (
                losses.measure(
                    self.backend,
                    controlnet,
                    accelerator.autocast,
                    lambda sums: accelerator.reduce(sums, "sum"),
                    share,
                    accelerator.device,
                )
                for losses in (held_out, learnt)
            )
            if values:
                values["learnt_loss"] = beside["validation_loss"]
                seen = made * self.p.train_batch_size
                self.metrics.write("validation", step=made, images_seen=seen, **values)
            shown = samples[: self.p.num_validation_pictures]
            if shown and accelerator.is_main_process and not self.stop:
                picture = draw_validation_pictures(
                    self.backend,
                    controlnet,
                    shown,
                    cache,
                    self.p,
                    accelerator.autocast,
                    accelerator.device,
                )
                path = self.run.folder / "pictures" / f"step_{made:08d}.png"
                save_picture(picture, path)
                self.metrics.write(
                    "picture",
                    step=made,
                    path=path.relative_to(self.run.folder).as_posix(),
                    subjects=[subject_of(sample) for sample in shown],
                )
        accelerator.wait_for_everyone()

    def save(self, made: int) -> None:
        """Write a checkpoint, on all processes."""

        def save_weights(folder: Path) -> None:
            with self.weights_to_judge() as controlnet:
                if self.accelerator.is_main_process:
                    self.backend.save_weights(controlnet, folder)

        path = self.checkpoints.save(
            made,
            {**self.record, "step": made, "images_seen": made * self.p.train_batch_size},
            lambda folder: self.accelerator.save_state(str(folder)),
            save_weights,
            self.accelerator.is_main_process,
            self.accelerator.wait_for_everyone,
        )
        self.saved_at = made
        self.metrics.write("checkpoint", step=made, path=path.relative_to(self.run.folder).as_posix())

    def is_asked_to_stop(self) -> bool:
        """Tell whether any process was asked to end; the same answer on all of them."""
        if self.accelerator.num_processes == 1:
            return bool(self.stop)
        asked = torch.tensor([float(bool(self.stop))], device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum").item() > 0)

    def stop_at(self, made: int) -> bool:
        """Save where training stands, unless that is saved already; return False."""
        if self.saved_at != made:
            self.save(made)
        logger.info("Stopped at step %d (%s).", made, self.stop.reason or "another process was asked to")
        return False

    def publish(self) -> None:
        """Copy the last checkpoint's weights to where inference finds them."""
        if self.accelerator.is_main_process:
            latest = self.checkpoints.latest()
            assert latest is not None, "the last step always saves"
            publish_weights(latest, self.run.folder)
        self.accelerator.wait_for_everyone()


class _NoMetrics:
    """Stands for the metrics file in all processes but the main one."""

    def write(self, kind: str, **values: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def _metrics(
    run: TrainingRun, accelerator: Accelerator, first_step: int
) -> Iterator[MetricsFile | _NoMetrics]:
    if not accelerator.is_main_process:
        yield _NoMetrics()
        return
    start = {
        "attempt": run.attempt,
        "step": first_step,
        "max_train_steps": run.parameters.max_train_steps,
        "train_batch_size": run.parameters.train_batch_size,
        "num_processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "mixed_precision": accelerator.mixed_precision,
    }
    with MetricsFile(run.folder, start) as metrics:
        yield metrics


# --- the start of a run ------------------------------------------------------------------------------------


def _start_processes(run: TrainingRun) -> Accelerator:
    """Join the other processes and check that there are as many as asked for."""
    p = run.parameters
    for library in (diffusers, transformers):  # a log is no place for their bars
        library.utils.logging.disable_progress_bar()
    if p.num_threads is not None:
        torch.set_num_threads(p.num_threads)
    accelerator = Accelerator(
        mixed_precision=resolve_mixed_precision(p.mixed_precision),
        gradient_accumulation_steps=p.gradient_accumulation_steps,
    )
    if accelerator.num_processes != run.num_processes:
        raise TrainingError(
            f"Expected {run.num_processes} training processes, {accelerator.num_processes} run. Check"
            f" train.accelerate_config ('{p.accelerate_config}') against the machine's devices."
        )
    passes = accelerator.num_processes * p.gradient_accumulation_steps
    if p.train_batch_size % passes:
        raise ConfigurationError(
            f"train.train_batch_size ({p.train_batch_size}) must be divisible by processes x"
            f" gradient_accumulation_steps ({accelerator.num_processes} x {p.gradient_accumulation_steps})."
        )
    return accelerator


def resolve_mixed_precision(setting: str) -> str:
    """Return ``no``, ``fp16`` or ``bf16``; for ``auto``, bf16 where this machine computes in it fast."""
    if setting != "auto":
        return setting
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if _processor_computes_bf16() else "no"


def _processor_computes_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.is_file():
        return False
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _dtype(accelerator: Accelerator) -> torch.dtype:
    """Return the number format of the frozen parts."""
    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(accelerator.mixed_precision, torch.float32)


def _load_recognizer(p: TrainParameters, accelerator: Accelerator) -> TorchRecognizer | None:
    """Return what reads legends, on the training device, if text is trained or measured."""
    if not p.text.is_reading:
        return None
    return load_recognizer(p.text.recognizer, "train.text.recognizer").to(accelerator.device)


def _record(
    run: TrainingRun,
    data: TrainingSet,
    backend: ModelFamily,
    recognizer: TorchRecognizer | None,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Return what is kept beside the weights: nothing that differs between two equal runs."""
    parameters = run.parameters.model_dump(mode="json", exclude={"run_folder", "run_name", "cache_folder"})
    return {
        "parameters": {**parameters, "mixed_precision": accelerator.mixed_precision},
        "dataset": {
            "digest": run.dataset_digest,
            "content_sha256": data.content_sha256,
            "num_train": len(data.train),
            "num_validation": len(data.validation),
        },
        "base_model": {"name": run.parameters.model_base, "sha256": backend.base_digest},
        **({"recognizer": {"sha256": recognizer.digest}} if recognizer and run.parameters.text.is_on else {}),
    }


def _identity(run: TrainingRun, record: dict[str, Any]) -> dict[str, Any]:
    """Return what must not change between the starts of a run, ``auto`` decided."""
    parameters = {
        **run.parameters.identity(),
        "mixed_precision": record["parameters"]["mixed_precision"],
        "fast_start": run.parameters.is_fast_start,
    }
    return {
        "parameters": parameters,
        "dataset": record["dataset"]["content_sha256"],
        "base_model": record["base_model"]["sha256"],
        **({"recognizer": record["recognizer"]["sha256"]} if "recognizer" in record else {}),
    }


def _encode(
    run: TrainingRun,
    data: TrainingSet,
    backend: ModelFamily,
    accelerator: Accelerator,
    stop: StopRequest,
    stack: contextlib.ExitStack,
) -> EncodingCache:
    """Encode all pictures and captions that are not in the cache, each process its share.

    They stay in the cache while ``stack`` is open; others make room for them if there is a limit.
    """
    cache = EncodingCache(run.cache_folder, backend.image_encoder_digest, backend.text_encoder_digest)
    samples = [*data.train, *data.validation]
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    pictures = [(s.image_sha256, s.size_px, lambda s=s: as_tensor(s.read_picture())) for s in samples]
    captions = [sample.text for sample in samples]
    if accelerator.is_main_process:
        used = cache.files([(sha, size) for sha, size, _ in pictures], captions)
        stack.enter_context(in_use(run.cache_folder, used))
    accelerator.wait_for_everyone()
    fill_cache(cache, backend, pictures, captions, share, stop.check)
    accelerator.wait_for_everyone()
    limit_gib = run.parameters.cache_limit_gib
    if accelerator.is_main_process and limit_gib is not None:
        evict(run.cache_folder, limit_gib)
    return cache


def _batches(
    samples: EncodedSamples, p: TrainParameters, accelerator: Accelerator, first_step: int
) -> Iterator[Batch]:
    """Return this process's passes from a step on; workers read ahead if there are any."""
    order = SampleOrder(len(samples), p.train_batch_size, p.seed, samples.sizes)
    draws = order.passes(
        first_step,
        p.max_train_steps,
        p.gradient_accumulation_steps,
        accelerator.process_index,
        accelerator.num_processes,
    )
    loader = DataLoader(
        samples,
        sampler=draws,
        batch_size=None,
        num_workers=p.dataloader_num_workers,
        pin_memory=accelerator.device.type == "cuda",
        multiprocessing_context="spawn" if p.dataloader_num_workers else None,
    )
    return iter(loader)


def _peak_memory_gib(device: torch.device) -> float:
    """Return the most memory this process has held: the GPU's, or else the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
