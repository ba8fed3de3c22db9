"""The node of the compare pipeline."""

from collections.abc import Sequence
from typing import Any

from skin_pipeline.evaluation.comparison import (
    ComparedRun,
    CompareParameters,
    compare_runs,
    render_comparison,
)


def compare_experiments(
    compared_runs: Sequence[ComparedRun], parameters: CompareParameters
) -> tuple[dict[str, dict[str, Any]], str]:
    """Put finished experiments side by side.

    Args:
        compared_runs: Their workspaces.
        parameters: How to show them.

    Returns:
        What each did and came to, by its name; and a page with one table and the pictures of the same prompts
        and seeds.
    """
    return compare_runs(compared_runs), render_comparison(compared_runs, parameters)
