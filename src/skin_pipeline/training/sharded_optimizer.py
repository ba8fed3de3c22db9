"""AdamW whose memory is shared out among the processes. Loaded only where it is used."""

import warnings
from typing import Any

with warnings.catch_warnings():  # torch's own, of its other optimizers
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
    from torch.distributed.optim import ZeroRedundancyOptimizer


class ShardedAdamW(ZeroRedundancyOptimizer):
    """AdamW whose moments are shared out among processes (Rajbhandari et al. 2020, ZeRO's first stage).

    Each process keeps the moments of its part of the weights, updates that part and sends it to the others.
    The numbers are AdamW's to the last bit, and so is what is saved: any number of processes can go on with
    it.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state on the main process, nothing on the others; called by all of them."""
        self.consolidate_state_dict(to=0)
        if self.rank:
            return {}
        state: dict[str, Any] = super().state_dict()
        self._all_state_dicts: list[dict[str, Any]] = []  # a second copy of all moments
        return state
