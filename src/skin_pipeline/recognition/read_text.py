"""One piece of text read in a picture."""

from dataclasses import dataclass, replace

from skin_pipeline.geometry import FloatArray


@dataclass(frozen=True)
class ReadText:
    """One piece of text in a picture."""

    text: str
    """What it says; never empty."""
    confidence: float
    """How sure it is, 0 to 1: the recogniser's mean probability over the characters, or what that and the
    other legends of the keyboard give together."""
    quad: FloatArray
    """Where it is: (4, 2), pixels of the picture read."""
    recognised: tuple[str, float] | None = None
    """Text and confidence of the recogniser alone, where the other legends changed one of them; no text where
    they first told where to look."""

    @property
    def alone(self) -> tuple[str, float]:
        """Text and confidence of the recogniser alone."""
        return self.recognised or (self.text, self.confidence)

    def corrected(self, text: str, confidence: float) -> "ReadText":
        """Return what the keyboard makes of it."""
        return replace(self, text=text, confidence=confidence, recognised=self.alone)
