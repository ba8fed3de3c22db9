"""Encoded pictures and captions on disk, each made once.

A file is named by the digest of what it was made from (the picture's bytes and size, or the caption's text,
and the digest of the encoder's files), so a changed learning rate encodes nothing anew and a changed picture
does. Files are written beside and renamed: one that is there is whole.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from skin_pipeline.items import json_digest
from skin_pipeline.training.backend import EncodedImages, ModelFamily, TextEmbeddings

logger = logging.getLogger(__name__)

_FORM = "1"
"""Part of every path; to be raised when encodings are made or stored in another way."""
NO_TEXT = None
"""Stands for the base model's form of no prompt among captions."""


class EncodingCache:
    """Encodings of one base model; safe to fill from several processes."""

    def __init__(self, folder: Path, image_encoder_digest: str, text_encoder_digest: str) -> None:
        """Open the cache; nothing is read or written yet.

        Args:
            folder: Shared by all runs and models.
            image_encoder_digest: sha256 of what encodes pictures.
            text_encoder_digest: sha256 of what encodes captions.
        """
        self._images = folder / _FORM / "images" / image_encoder_digest[:16]
        self._texts = folder / _FORM / "texts" / text_encoder_digest[:16]

    def load_images(self, image_sha256: str, size_px: tuple[int, int]) -> EncodedImages:
        """Return an encoded picture, B = 1."""
        return EncodedImages(**load_file(self._image_file(image_sha256, size_px)))

    def load_text(self, caption: str | None) -> TextEmbeddings:
        """Return an encoded caption, B = 1; of ``NO_TEXT``, the base model's form of no prompt."""
        return TextEmbeddings(**load_file(self._text_file(caption)))

    def load_no_text(self) -> TextEmbeddings:
        """Return the base model's form of no prompt, B = 1."""
        return self.load_text(NO_TEXT)

    def files(self, pictures: Iterable[tuple[str, tuple[int, int]]], captions: Iterable[str]) -> list[Path]:
        """Return the files of pictures (digest, size) and captions, and of no prompt, there yet or not."""
        texts: set[str | None] = {NO_TEXT, *captions}
        return [self._image_file(sha, size) for sha, size in pictures] + [
            self._text_file(caption) for caption in texts
        ]

    def missing_images(self, pictures: Iterable[tuple[str, tuple[int, int]]]) -> list[str]:
        """Return the digests of pictures (digest, size) that are not encoded yet."""
        return [sha for sha, size in pictures if not self._image_file(sha, size).is_file()]

    def missing_texts(self, captions: Iterable[str | None]) -> list[str | None]:
        """Return the captions, ``NO_TEXT`` perhaps among them, that are not encoded yet."""
        return [caption for caption in captions if not self._text_file(caption).is_file()]

    def add_image(self, image_sha256: str, size_px: tuple[int, int], encoded: EncodedImages) -> None:
        """Store an encoded picture, B = 1."""
        self._store(self._image_file(image_sha256, size_px), {"mean": encoded.mean, "std": encoded.std})

    def add_text(self, caption: str | None, encoded: TextEmbeddings) -> None:
        """Store an encoded caption, B = 1."""
        tensors = {
            "prompt_embeds": encoded.prompt_embeds,
            "pooled_prompt_embeds": encoded.pooled_prompt_embeds,
        }
        self._store(self._text_file(caption), tensors)

    def _image_file(self, image_sha256: str, size_px: tuple[int, int]) -> Path:
        return self._images / f"{image_sha256}-{size_px[0]}x{size_px[1]}.safetensors"

    def _text_file(self, caption: str | None) -> Path:
        return self._texts / f"{json_digest({'caption': caption})}.safetensors"

    def _store(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, beside)
        beside.replace(path)


def fill_cache(
    cache: EncodingCache,
    backend: ModelFamily,
    pictures: Sequence[tuple[str, tuple[int, int], Callable[[], torch.Tensor]]],
    captions: Sequence[str],
    share: slice,
    check: Callable[[], None],
) -> tuple[int, int]:
    """Encode what is not in the cache yet; nothing is loaded when everything is.

    Args:
        cache: Filled.
        backend: Encodes; its encoders are released at the end.
        pictures: Digest, size and reader (3, H, W in [0, 1]) of each picture.
        captions: Texts of all samples.
        share: The part of all, sorted, that is this process's to encode where it is missing. (A part of the
            missing ones would depend on what other processes have encoded meanwhile.)
        check: Called between encodings; raises to end early.

    Returns:
        How many pictures and how many captions were encoded here.
    """
    readers = {sha: (size, read) for sha, size, read in pictures}
    images = cache.missing_images(sorted({(sha, size) for sha, size, _ in pictures})[share])
    texts = cache.missing_texts([NO_TEXT, *sorted(set(captions))][share])
    if images or texts:
        logger.info("Encoding %d pictures and %d captions.", len(images), len(texts))
    for sha in images:
        check()
        size, read = readers[sha]
        cache.add_image(sha, size, backend.encode_images(read()[None] * 2 - 1))
    for caption in texts:
        check()
        cache.add_text(
            caption, backend.encode_no_text() if caption is None else backend.encode_text([caption])
        )
    backend.release_encoders()
    return len(images), len(texts)
