"""The cache of encodings: who makes what, and under which names."""

from pathlib import Path

import pytest
import torch

from skin_pipeline.training.backend import EncodedImages, TextEmbeddings
from skin_pipeline.training.cache import EncodingCache, fill_cache

PICTURES = [
    (f"{number:x}" * 64, (64, 64) if number % 2 else (96, 32), lambda n=number: torch.full((3, 8, 8), n / 16))
    for number in range(9)
]
CAPTIONS = ["pink", "blue", "pink", "gold"]


class MeanColour:
    """Encodes a picture as its mean colour and a caption as its length and twice that."""

    def encode_images(self, pixel_values: torch.Tensor) -> EncodedImages:
        mean = pixel_values.mean(dim=(2, 3), keepdim=True)
        return EncodedImages(mean, torch.zeros_like(mean))

    def encode_text(self, captions: list[str]) -> TextEmbeddings:
        lengths = torch.tensor([float(len(caption)) for caption in captions])
        return TextEmbeddings(lengths[:, None, None], 2 * lengths[:, None])

    def encode_no_text(self) -> TextEmbeddings:
        return self.encode_text([""])

    def release_encoders(self) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path) -> EncodingCache:
    return EncodingCache(tmp_path, "1" * 64, "2" * 64)


def fill(cache: EncodingCache, share: slice) -> tuple[int, int]:
    return fill_cache(cache, MeanColour(), PICTURES, CAPTIONS, share, lambda: None)


@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_processes_that_come_late_still_make_their_share(cache: EncodingCache, num_processes: int) -> None:
    """One process may have stored its encodings before another looks at what is missing."""
    made = [fill(cache, slice(rank, None, num_processes)) for rank in range(num_processes)]
    assert [sum(numbers) for numbers in zip(*made, strict=True)] == [9, 4]  # three captions and no prompt
    for sha, size, read in PICTURES:
        assert torch.equal(cache.load_images(sha, size).mean.flatten(), read()[:, 0, 0] * 2 - 1)
    assert cache.load_text("blue").pooled_prompt_embeds.item() == 8
    assert cache.load_no_text().pooled_prompt_embeds.item() == 0


def test_what_is_there_is_not_made_again(cache: EncodingCache) -> None:
    assert fill(cache, slice(None)) == (9, 4)
    assert fill(cache, slice(None)) == (0, 0)


def test_the_files_of_a_run_are_all_that_is_there(cache: EncodingCache, tmp_path: Path) -> None:
    fill(cache, slice(None))
    listed = cache.files([(sha, size) for sha, size, _ in PICTURES], CAPTIONS)
    assert sorted(listed) == sorted(tmp_path.rglob("*.safetensors"))


def test_a_pictures_encoding_is_named_by_contents_and_size(cache: EncodingCache, tmp_path: Path) -> None:
    """Renamed, all that was encoded before would be encoded again."""
    cache.add_image("a" * 64, (512, 384), EncodedImages(torch.zeros(1), torch.zeros(1)))
    (path,) = tmp_path.rglob("*.safetensors")
    assert path.relative_to(tmp_path).as_posix() == f"1/images/{'1' * 16}/{'a' * 64}-512x384.safetensors"
