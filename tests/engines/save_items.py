"""Brings a folder of items up to date, in a process of its own that tests can kill.

python -m tests.engines.save_items '{"source": ..., "target": ..., "engine": ..., "worker": {...}}'
"""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
from pathlib import Path

from skin_pipeline.datasets import ItemsDataset
from skin_pipeline.hooks import mendable_error
from skin_pipeline.items import Item, Items, Plan
from tests import workers


def main(options: dict) -> None:
    """Save the plan that the options describe."""
    logging.basicConfig(level=logging.INFO)
    items = Items(
        Item(path.stem, {}, path.stem, path) for path in sorted(Path(options["source"]).glob("*.png"))
    )
    kind = options["worker"].pop("kind", "Thresholder")
    worker = getattr(workers, kind)
    if isinstance(worker, type):
        worker = worker(log=Path(options["log"]), **options["worker"])
    plan = Plan(
        "threshold",
        functools.partial(workers.give, worker),
        sources={"skin": items},
        modules=("skin_pipeline.prep.edges",),
        **options.get("plan", {"num_workers": 2}),
    )
    try:
        ItemsDataset(filepath=options["target"], suffix=".png", engine=options["engine"]).save(plan)
    except Exception as exc:
        sys.exit(str(mendable_error(exc) or repr(exc)))


if __name__ == "__main__":
    # What a shell starts in the background, it starts deaf to Ctrl-C, and so are its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(json.loads(sys.argv[1]))
