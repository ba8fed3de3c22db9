"""What saves memory does save it and changes no result; and the want of it is explained."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from skin_pipeline.errors import ConfigurationError, TrainingError
from skin_pipeline.training import loop
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.metrics import deterministic_rows, read_metrics
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.out_of_memory import ways_to_save_memory
from skin_pipeline.training.sdxl import SDXLFamily
from tests.training.conftest import MakeRun, random_batch, train_here

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def _family(base: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> SDXLFamily:
    settings = {
        "model_base": str(base),
        "conditioning_embedding_out_channels": (8, 8, 8, 16),
        "fast_start": True,
    }
    family = SDXLFamily(TrainParameters(**{**settings, **changes}))
    with torch.no_grad():  # open the outputs, so that the decoder's gradients count
        for name, parameter in family.controlnet.named_parameters():
            if name.startswith(("controlnet_down_blocks", "controlnet_mid_block")):
                parameter.add_(0.05)
    family.to(CPU, dtype)
    return family


def _gradients(family: SDXLFamily, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    autocast = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    prediction, target = predict(family, family.controlnet, random_batch(family), autocast)
    squared_errors(prediction, target).mean().backward()
    gradients = [p.grad for p in family.controlnet.parameters()]
    assert all(g is not None for g in gradients)
    return [g for g in gradients if g is not None]


def _count_calls(*modules: torch.nn.Module) -> list[int]:
    counts = [0] * len(modules)
    for number, module in enumerate(modules):

        def count(*_: Any, number: int = number) -> None:
            counts[number] += 1

        module.register_forward_hook(count)
    return counts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputing_changes_no_gradient(dtype: torch.dtype, tiny_pipeline: Path) -> None:
    plain = _family(tiny_pipeline, dtype)
    recomputing = _family(tiny_pipeline, dtype, gradient_checkpointing=True)
    for one, other in zip(_gradients(plain, dtype), _gradients(recomputing, dtype), strict=True):
        assert torch.equal(one, other)


def test_what_needs_no_gradient_is_computed_once(tiny_pipeline: Path) -> None:
    family = _family(tiny_pipeline, gradient_checkpointing=True)
    unet = family.unet
    frozen = _count_calls(unet.down_blocks[1].resnets[0].norm1, unet.mid_block.resnets[0].norm1)
    decoder, control = unet.up_blocks[0].resnets[0], family.controlnet.down_blocks[1].resnets[0]
    recomputed = _count_calls(decoder.norm1, control.norm1)
    _gradients(family)
    assert frozen == [1, 1]
    assert recomputed == [2, 2]


def test_backward_pass_keeps_nothing_of_the_unets_encoder(tiny_pipeline: Path) -> None:
    family = _family(tiny_pipeline)
    batch = random_batch(family)
    noisy_latents = family.add_noise(batch)
    control = family.control_forward(family.controlnet, noisy_latents, batch)
    needs_gradient = []
    for module in (*family.unet.down_blocks, family.unet.mid_block, *family.unet.up_blocks):
        module.register_forward_hook(lambda _m, _i, made: needs_gradient.append(_requires_grad(made)))
    family.denoise_forward(noisy_latents, batch, control)
    assert needs_gradient == [False, False, False, True, True]


def _requires_grad(made: Any) -> bool:
    return made.requires_grad if isinstance(made, torch.Tensor) else any(map(_requires_grad, made))


def test_frozen_parts_compute_in_their_own_format(tiny_pipeline: Path) -> None:
    family = _family(tiny_pipeline, torch.bfloat16)
    formats = set()
    for module in family.unet.modules():
        if isinstance(module, torch.nn.GroupNorm | torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(lambda _m, _i, made: formats.add(made.dtype))
    _gradients(family, torch.bfloat16)
    assert formats == {torch.bfloat16}
    assert {p.dtype for p in family.controlnet.parameters()} == {torch.float32}
    assert family.encode_images(torch.zeros(1, 3, 64, 64)).mean.dtype == torch.float32
    assert family.encode_text(["pink"]).prompt_embeds.dtype == torch.float32


def test_attention_is_torchs_own(tiny_pipeline: Path) -> None:
    family = _family(tiny_pipeline)
    processors = [*family.unet.attn_processors.values(), *family.controlnet.attn_processors.values()]
    assert {type(processor) for processor in processors} == {AttnProcessor2_0}


def test_average_in_processor_memory_is_the_same(make_run: MakeRun) -> None:
    runs = [make_run(where, ema_decay=0.9, ema_device=where, max_train_steps=3) for where in ("same", "cpu")]
    for run in runs:
        train_here(run)
    one, other = (
        (run.folder / "weights" / "diffusion_pytorch_model.safetensors").read_bytes() for run in runs
    )
    assert one == other


def test_blank_controls_are_drawn_anew_and_leave_the_rest(make_run: MakeRun) -> None:
    runs = {
        share: make_run(f"share_{share}", control_dropout=share, max_train_steps=4)
        for share in (0.0, 0.5, 1.0)
    }
    seen: dict[float, list[torch.Tensor]] = {}
    for share, run in runs.items():
        with pytest.MonkeyPatch.context() as patch:
            seen[share] = _controls_seen(patch)
            train_here(run)
    blank = {share: [not bool(c.any()) for c in controls] for share, controls in seen.items()}
    assert not any(blank[0.0])
    assert all(blank[1.0])
    assert 0 < sum(blank[0.5]) < len(blank[0.5])
    for is_blank, half, full in zip(blank[0.5], seen[0.5], seen[0.0], strict=True):
        assert is_blank or torch.equal(half, full)
    samples = [
        [row["samples"] for row in deterministic_rows(read_metrics(run.folder))] for run in runs.values()
    ]
    assert samples[0] == samples[1] == samples[2]


def _controls_seen(patch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []

    def heard(backend: Any, controlnet: Any, batch: Any, *args: Any) -> Any:
        seen.extend(batch.conditioning_pixel_values)
        return predict(backend, controlnet, batch, *args)

    patch.setattr(loop, "predict", heard)
    return seen


def test_eight_bit_adamw_trains_and_resumes_exactly(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    settings = {"optimizer": "adamw_8bit", "max_train_steps": 4}
    whole, broken = make_run("whole", **settings), make_run("broken", **settings)
    train_here(whole)
    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "is_asked_to_stop", lambda self: self.checkpoints.latest() is None)
        assert not train_here(broken)
    train_here(broken)
    one, other = (
        (run.folder / "weights" / "diffusion_pytorch_model.safetensors").read_bytes()
        for run in (whole, broken)
    )
    assert one == other
    state = torch.load(whole.folder / "checkpoints" / "step_00000004" / "state" / "optimizer.bin")["state"]
    formats = {value.dtype for values in state.values() for value in _tensors(values)}
    assert torch.uint8 in formats


def _tensors(values: dict[str, Any]) -> Iterator[torch.Tensor]:
    for value in values.values():
        if isinstance(value, dict):
            yield from _tensors(value)
        elif isinstance(value, torch.Tensor):
            yield value


def test_eight_bit_adamw_without_its_library_is_refused(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ConfigurationError, match=r"adamw_8bit needs bitsandbytes.*skin_pipeline\[8bit\]"):
        train_here(make_run(optimizer="adamw_8bit"))


def _out_of_memory_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore about it")


def _out_of_memory_on_a_processor() -> None:
    torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("fail", [_out_of_memory_on_a_gpu, _out_of_memory_on_a_processor])
def test_want_of_memory_names_what_to_change(
    fail: Callable[[], None], make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def predict_until_full(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            fail()
        return predict(*args)

    monkeypatch.setattr(loop, "predict", predict_until_full)
    with pytest.raises(
        TrainingError,
        match=r"does not suffice for training \(.*\)\. Change, one after the other until it does:"
        r" train\.mixed_precision \(no\) to bf16; train\.gradient_checkpointing \(false\) to true;"
        r" train\.gradient_accumulation_steps \(1\) to more, up to 4: .*"
        r" train\.optimizer \(adamw\) to adamw_8bit; train\.controlnet_kind \(full\) to lora;",
    ):
        train_here(make_run())
    assert len(calls) == 3


def test_other_errors_pass(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict_wrongly(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(loop, "predict", predict_wrongly)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train_here(make_run())


def test_settings_already_used_are_not_advised() -> None:
    p = TrainParameters(
        gradient_checkpointing=True,
        gradient_accumulation_steps=4,
        train_batch_size=4,
        optimizer="adamw_8bit",
        controlnet_kind="lora",
        ema_decay=0.9,
        resolution_px=1024,
    )
    ways = ways_to_save_memory(p, "bf16", 1, GPU)
    assert [way.split(" ")[0] for way in ways] == [
        "train.ema_device",
        "train.controlnet_lora_rank",
        "train.crop_px",
        "train.resolution_px",
    ]
    assert "train.resolution_px (1024)" in ways[-1]
    on_processor = ways_to_save_memory(p.model_copy(update={"ema_device": "cpu"}), "bf16", 1, CPU)
    assert "train.ema_device" not in " ".join(on_processor)
