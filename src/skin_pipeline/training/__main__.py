"""The trainer's command: ``accelerate launch -m skin_pipeline.training --config FILE [--dry-run]``.

Its status is 0 when all steps are made, 75 when it was asked to end and saved a checkpoint, 1 for an error.
"""

import argparse
import logging
import sys
from pathlib import Path

from skin_pipeline.errors import SkinPipelineError
from skin_pipeline.training.config import load_run


def main(arguments: list[str] | None = None) -> int:
    """Train as a file says, or with ``--dry-run`` say what would be trained."""
    parser = argparse.ArgumentParser(prog="skin_pipeline.training", description="Train a ControlNet.")
    parser.add_argument("--config", type=Path, required=True, help="file written by the launcher")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and sizes")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run = load_run(options.config)
        if options.dry_run:
            from skin_pipeline.training.estimate import describe

            sys.stdout.write(describe(run))
            return 0
        from skin_pipeline.training.ending import train_to_an_end

        return train_to_an_end(run)
    except SkinPipelineError as exc:
        logging.getLogger("skin_pipeline.training").error("%s", exc)
        return 1


if __name__ == "__main__":
    sys.exit(main())
