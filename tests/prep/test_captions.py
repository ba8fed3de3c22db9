"""Captions: framing, repetition, the measuring engine and BLIP."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skin_pipeline.errors import ConfigurationError, MissingWeightsError
from skin_pipeline.items import Item, Output, Task
from skin_pipeline.prep.blip import BlipCaptioner, BlipParameters
from skin_pipeline.prep.captions import (
    CaptionParameters,
    collapse_repetitions,
    compose_caption,
    make_captioner,
)
from skin_pipeline.skins.drawn import draw_skin

PREFIX = "a keyboard skin of"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a bald bald bald man", "a bald man"),
        ("with a hat with a hat with a hat", "with a hat"),
        ("a man with a hat, with a hat", "a man with a hat"),
        ("red and blue and red and blue and red", "red and blue and red"),
        ("Pink pink keys", "pink keys"),
        ("a  cat\n on keys", "a cat on keys"),
        ("no repetition here", "no repetition here"),
        ("", ""),
    ],
)
def test_repetitions_are_written_once(text: str, expected: str) -> None:
    assert collapse_repetitions(text) == expected


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12))
def test_collapsing_leaves_no_repetition_and_only_the_words_said(words: list[str]) -> None:
    collapsed = collapse_repetitions(" ".join(words)).split()
    assert set(collapsed) == set(words)
    for length in range(1, len(collapsed) // 2 + 1):
        for start in range(len(collapsed) - 2 * length + 1):
            phrase = collapsed[start : start + length]
            assert phrase != collapsed[start + length : start + 2 * length]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a cat on keys", "a keyboard skin of a cat on keys,iflyskin"),
        ("A Keyboard skin of a cat.", "a keyboard skin of a cat,iflyskin"),
        ("a keyboard skin of", "a keyboard skin,iflyskin"),
        ("", "a keyboard skin,iflyskin"),
    ],
)
def test_captions_begin_with_the_prefix_once_and_end_with_the_suffix(words: str, expected: str) -> None:
    assert compose_caption(words, PREFIX, ",iflyskin") == expected


def skin_task(folder: Path, seed: int, side: int = 256) -> Task:
    image = draw_skin(seed, width_px=540, height_px=405).image
    path = folder / f"{seed}.png"
    resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    assert cv2.imwrite(str(path), cv2.cvtColor(resized, cv2.COLOR_RGB2BGR))
    record = {"matrix": [[side / 540, 0, 0], [0, side / 405, 0]]}
    return Task(str(seed), {"resized_skins": Item(str(seed), record, "0" * 64, path)})


def test_the_described_engine_says_what_is_seen(tmp_path: Path) -> None:
    skin = draw_skin(8, width_px=540, height_px=405)
    (output,) = make_captioner(CaptionParameters())([skin_task(tmp_path, 8)])
    assert isinstance(output, Output)
    attributes = output.record["attributes"]
    assert attributes["panel"] == skin.style.panel.name
    assert attributes["key"] == skin.style.key.name
    assert output.record["engine"] == "described"
    caption = output.record["caption"]
    assert caption.startswith(f"a keyboard skin of {skin.style.panel.name}")
    assert f"{skin.style.key.name} {attributes['key_shape']} keys" in caption
    assert caption.endswith(",iflyskin")


def test_blip_settings_of_an_engine_that_is_not_used_do_not_count() -> None:
    plain = CaptionParameters()
    assert CaptionParameters(blip=BlipParameters(num_beams=5)).item_parameters() == plain.item_parameters()
    assert plain.shared_digests() == {}
    blip = CaptionParameters(engine="blip")
    beams = CaptionParameters(engine="blip", blip=BlipParameters(num_beams=5))
    on_gpu = CaptionParameters(engine="blip", blip=BlipParameters(device="cuda"), batch_size=32)
    assert beams.item_parameters() != blip.item_parameters()
    assert on_gpu.item_parameters() == blip.item_parameters()


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        CaptionParameters.model_validate({"blip": {"modle": "x"}})


@pytest.mark.parametrize("model", ["nowhere/at/all", "Salesforce/blip-image-captioning-large"])
def test_missing_blip_weights_stop_before_anything_is_captioned(
    model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    parameters = CaptionParameters(engine="blip", blip=BlipParameters(model=model))
    with pytest.raises(MissingWeightsError, match=r"captions\.blip\.model"):
        parameters.preflight()
    CaptionParameters(blip=BlipParameters(model=model)).preflight()  # not used, not looked for


@pytest.fixture(scope="module")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save a BLIP with random weights and a vocabulary of 43 words."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, "a", "keyboard", "skin", "of", "red", "blue", "keys", *"bcdefghijklmnopqrstuvwxyz"]
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **tower, "vocab_size": len(words), "encoder_hidden_size": 32, "projection_dim": 32,
        "max_position_embeddings": 64,
        "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3,
    }  # fmt: skip
    vision = {**tower, "projection_dim": 32, "image_size": 32, "patch_size": 8}
    folder = tmp_path_factory.mktemp("blip")
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=32)
    )
    model.save_pretrained(folder)
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    processor.save_pretrained(folder)
    return str(folder)


def blip_parameters(model: str, **values: object) -> CaptionParameters:
    settings = {"model": model, "max_new_tokens": 6, "device": "cpu", **values}
    return CaptionParameters(engine="blip", blip=BlipParameters.model_validate(settings))


@pytest.mark.parametrize("conditional", [True, False])
def test_blip_captions_a_batch_like_single_pictures(
    tiny_blip: str, tmp_path: Path, conditional: bool
) -> None:
    parameters = blip_parameters(tiny_blip, conditional=conditional, num_beams=1)
    parameters.preflight()
    worker = make_captioner(parameters)
    tasks = [skin_task(tmp_path, seed) for seed in (1, 2, 3)]
    together = worker(tasks)
    assert together == [result for task in tasks for result in worker([task])]
    for output in together:
        assert isinstance(output, Output)
        caption = output.record["caption"]
        assert caption.startswith(PREFIX)
        assert caption.count(PREFIX) == 1
        assert caption.endswith(",iflyskin")
        assert output.record["engine"] == "blip"
        assert output.record["model"] == tiny_blip


def test_blip_goes_on_from_the_prompt(tiny_blip: str) -> None:
    captioner = BlipCaptioner(blip_parameters(tiny_blip).blip, prompt=PREFIX)
    (caption,) = captioner.caption([np.full((40, 30, 3), 90, np.uint8)])
    assert caption.startswith(PREFIX)


def test_generation_settings_reach_the_model(tiny_blip: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    free = {"conditional": False, "num_beams": 1, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0}
    short, long, guarded = (
        BlipCaptioner(blip_parameters(tiny_blip, **{**free, **changes}).blip, PREFIX).caption([picture])[0]
        for changes in (
            {"max_new_tokens": 3},
            {"max_new_tokens": 12},
            {"max_new_tokens": 12, "no_repeat_ngram_size": 1},
        )
    )
    assert long.startswith(short)
    assert len(short) < len(long)
    assert long.split() != guarded.split()
    assert len(set(guarded.split())) == len(guarded.split())


def test_a_device_that_is_not_there_is_named(tiny_blip: str) -> None:
    with pytest.raises(ConfigurationError, match=r"captions\.blip\.device"):
        BlipCaptioner(blip_parameters(tiny_blip, device="teapot").blip, PREFIX)


def test_the_digest_of_blip_follows_its_files(tiny_blip: str) -> None:
    before = blip_parameters(tiny_blip).shared_digests()
    added = Path(tiny_blip) / "note.txt"
    added.write_text("changed")
    assert blip_parameters(tiny_blip).shared_digests() != before
    added.unlink()
    assert blip_parameters(tiny_blip).shared_digests() == before
