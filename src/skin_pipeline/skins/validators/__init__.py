"""Checking packages against the rules of their formats.

A validator reads the files of a package as the app does, not through this project's importers: those mend
what is wrong, and a rule that both the writer and the reader misunderstand would go unseen.
"""

from skin_pipeline.skins.validators.checks import Violation, validate_package

__all__ = ["Violation", "validate_package"]
