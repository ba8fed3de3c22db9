"""Collecting what is wrong with a package while it is read."""

from skin_pipeline.skins.model import Finding

MAX_FINDINGS = 2_000
"""More than these are counted, not kept: a broken file of 100,000 lines has one cause."""


class Findings:
    """What was found in one package so far, each once."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[Finding, None] = {}
        self._num_left_out = 0

    def add(self, file: str, line: int | None, problem: str, remedy: str) -> None:
        """Note a problem.

        Args:
            file: Path in the package.
            line: Line in that file, from 1; None if it concerns the file as a whole.
            problem: What is wrong.
            remedy: What was done instead.
        """
        finding = Finding(file, line, problem, remedy)
        if len(self._found) < MAX_FINDINGS:
            self._found[finding] = None
        elif finding not in self._found:
            self._num_left_out += 1

    def all(self) -> tuple[Finding, ...]:
        """Return them, sorted by file and line."""
        found = sorted(self._found, key=lambda finding: (finding.file, finding.line or 0, finding.problem))
        if self._num_left_out:
            found.append(Finding("", None, f"{self._num_left_out} further problems", "not listed"))
        return tuple(found)
