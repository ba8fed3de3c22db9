"""Drawing raw skins."""

from __future__ import annotations

import numpy as np
import pytest

from skin_pipeline.datasets import RawSkinsDataset
from skin_pipeline.pipelines.demo_data import create_pipeline
from skin_pipeline.pipelines.demo_data.nodes import DemoDataParameters, draw_demo_skins


def parameters(**changes):
    return DemoDataParameters(**{"num_skins": 3, "width_px": 160, "height_px": 120, **changes})


def layouts(plan):
    return [task.inputs["design"].record["layout"] for task in plan.tasks()]


def test_skins_are_drawn_into_the_raw_folder(tmp_path):
    dataset = RawSkinsDataset(filepath=str(tmp_path))
    dataset.save(draw_demo_skins(parameters()))
    skins = dataset.load()
    assert list(skins) == ["demo/skin_0000", "demo/skin_0001", "demo/skin_0002"]
    pictures = [skin.load_image() for skin in skins.values()]
    assert {picture.shape for picture in pictures} == {(120, 160, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_same_seed_draws_the_same_and_more_skins_keep_the_first(tmp_path):
    digests = []
    for folder, num_skins in (("a", 2), ("b", 3)):
        dataset = RawSkinsDataset(filepath=str(tmp_path / folder))
        dataset.save(draw_demo_skins(parameters(num_skins=num_skins, seed=7)))
        digests.append(dataset.content_manifest())
    assert digests[0].items() < digests[1].items()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.4, 1.0])
def test_nine_key_layouts_have_their_share_from_the_start(share):
    drawn = np.array(layouts(draw_demo_skins(parameters(num_skins=40, nine_key_share=share)))) == "9_key"
    assert drawn.sum() == 40 * share
    assert abs(drawn[:20].sum() - 20 * share) <= 1


def test_pipeline_makes_raw_skins_of_parameters():
    pipeline = create_pipeline()
    assert pipeline.inputs() == {"params:demo_data"}
    assert pipeline.outputs() == {"raw_skins", "sheet_records"}
