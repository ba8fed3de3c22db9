import pytest
import torch
from diffusers.optimization import get_scheduler

from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.schedules import learning_rate_share


@pytest.mark.parametrize(
    ("ours", "theirs"), [("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")]
)
@pytest.mark.parametrize("warmup", [0, 7])
def test_equals_diffusers(ours: str, theirs: str, warmup: int) -> None:
    p = TrainParameters(lr_scheduler=ours, lr_warmup_steps=warmup, max_train_steps=30)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=warmup, num_training_steps=30)
    for step in range(30):
        assert learning_rate_share(p, step) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_flat_then_linear_by_hand() -> None:
    p = TrainParameters(
        lr_scheduler="flat_then_linear", lr_warmup_steps=4, lr_decay_start=0.5, max_train_steps=20
    )
    shares = [learning_rate_share(p, step) for step in (0, 1, 4, 10, 15, 20)]
    assert shares == pytest.approx([0, 0.25, 1, 1, 0.51, 0.02])
