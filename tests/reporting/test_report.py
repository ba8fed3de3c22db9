"""The report of a run: what it says, and how a browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_pipeline.datasets import FolderDataset
from skin_pipeline.evaluation.summarise import SKIPPED
from skin_pipeline.items import Folder, FolderPlan, Item, Items
from skin_pipeline.lineage.history import History, Run, Version
from skin_pipeline.lineage.workspace import CARD
from skin_pipeline.reporting.figures import as_svg, plot_scores, plot_training
from skin_pipeline.reporting.report import ReportParameters, ReportSources, render_report

SCORE = {"low": 0.1, "high": 0.9, "num_skins": 2, "num_pictures": 4}
SCORES = {
    "generated": {
        "edge_f1": {"estimate": 0.61, **SCORE},
        "fid_autoencoder": {"estimate": 12.3, **SCORE, "note": "Few!"},
    },
    "no_control": {"edge_f1": {"estimate": 0.2, **SCORE}},
    "real": {"edge_f1": {"estimate": 1.0, **SCORE}},
    SKIPPED: {"clip_score": "needs CLIP weights: evaluation.clip names none"},
}  # fmt: skip
FIGURES = {
    "num_legends": 40, "num_pictures": 8,
    "before": 1.0, "before_low": 1.0, "before_high": 1.0,
    "after": 0.35, "after_low": 0.2, "after_high": 0.5,
    "ned_before": 1.0, "ned_before_low": 1.0, "ned_before_high": 1.0,
    "ned_after": 0.61, "ned_after_low": 0.5, "ned_after_high": 0.7,
}  # fmt: skip
GROUPS = [
    {"script": script, "height_px": height, **FIGURES}
    for script, height in (("all", "all"), ("Chinese", "16"))
]
FLOOR = {
    "about": {"base_model": "embedded", "split": "validation", "num_skins": 8, "sizes_px": "512x512"},
    "readers": {
        reader: {
            "overall": FIGURES,
            "scripts": {"Chinese": {"lost_below_px": 32, "num_below": num_below, "num_in_set": 90}},
            "groups": GROUPS,
        }
        for reader, num_below in (("ppocr", 12), ("tesseract", 0))
    },
}  # fmt: skip
METRICS = [
    *({"kind": "train", "step": step, "loss": 0.4 - step / 100, "images_seen": step} for step in range(1, 7)),
    *(
        {
            "kind": "validation", "step": step,
            "validation_loss": 0.5 - step / 40, "learnt_loss": 0.45 - step / 30,
            "validation_loss_t0000_0499": 0.6 - step / 50, "validation_loss_t0500_0999": 0.3 - step / 50,
        }
        for step in (0, 2, 4, 6)
    ),
]  # fmt: skip
CARD_TEXT = {
    "step": 6, "images_seen": 48, "parameters": {"learning_rate": 3e-4},
    "base_model": {"name": "embedded", "sha256": "ba" * 32},
}  # fmt: skip


def write_dataset(folder: Path) -> None:
    for name in ("images", "conditioning_images"):
        (folder / name).mkdir()
        for skin in ("a", "b"):
            assert cv2.imwrite(str(folder / name / f"{skin}.png"), np.full((40, 60, 3), 90, np.uint8))
    for split, skin in (("train", "a"), ("validation", "b")):
        row = {
            "text": "a skin", "image": f"images/{skin}.png",
            "conditioning_image": f"conditioning_images/{skin}.png",
            "box": [], "skin": skin, "conditioning": "per_skin",
        }  # fmt: skip
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n")


def write_weights(dataset_digest: str, folder: Path) -> None:
    (folder / CARD).write_text(json.dumps({**CARD_TEXT, "dataset": {"digest": dataset_digest}}))


def publish(path: Path, write: Callable[[Path], None]) -> Folder:
    dataset = FolderDataset(filepath=str(path))
    dataset.save(FolderPlan(write))
    return dataset.load()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> ReportSources:
    folder = tmp_path_factory.mktemp("run")
    dataset = publish(folder / "train_dataset", write_dataset)
    weights = publish(folder / "controlnet", partial(write_weights, dataset.digest))
    pictures, measures = [], []
    for number in range(4):
        path = folder / f"{number}.png"
        assert cv2.imwrite(str(path), np.full((64, 96, 3), 40 * number, np.uint8))
        record = {
            "prompt": "a keyboard skin of <blue> & white", "negative_prompt": "", "seed": number,
            "conditioning": "b", "conditioning_sha256": "c0" * 32, "base_model": "embedded",
            "base_model_digest": "ba" * 32, "weights_digest": weights.digest,
            "settings": {"scheduler": "unipc"},
        }  # fmt: skip
        pictures.append(Item(f"b/p-{number}", record, f"{number}" * 64, path))
        measured = {"system": "generated", "skin": "b", "edge_f1": number / 10, "prompt": "", "seed": number}
        measures.append(Item(f"generated/b/p-{number}", measured, "e" * 64))
    screened = Items(Item(skin, {"source": f"{skin}.png"}, skin * 64) for skin in ("a", "b"))
    return ReportSources(Items(pictures), dataset, weights, screened, METRICS, SCORES, Items(measures), FLOOR)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory, sources: ReportSources) -> Path:
    folder = tmp_path_factory.mktemp("data")
    run = Run("f" * 32, "kedro run --pipeline=train", "abc123+changes", "2026-01-02T03:04:05+00:00")
    History(folder).add_version(Version("controlnet_weights", sources.controlnet_weights.digest, run))
    return folder


@pytest.fixture(scope="module")
def page(sources: ReportSources, data_folder: Path) -> str:
    parameters = ReportParameters(max_pictures=3, num_extremes=1, data_folder=str(data_folder))
    return render_report(sources, parameters)


def test_report_tells_verdict_scores_and_what_was_left_out(page: str) -> None:
    assert "<strong>Still improving</strong>" in page
    assert re.search(r"<td>0\.610<small>0\.100 to 0\.900, n = 2</small></td>", page)
    assert "<small>Few!</small>" in page
    assert "needs CLIP weights" in page
    assert "3 of 4; the gallery shows them all." in page


def test_report_leads_from_any_picture_to_weights_data_raw_files_and_code(
    page: str, sources: ReportSources
) -> None:
    digest = sources.controlnet_weights.digest
    assert page.count(f'href="#weights-{digest[:12]}"') == 3 + 2  # the grid, and the worst and best
    assert f'id="weights-{digest[:12]}"' in page
    assert f'href="#dataset-{sources.train_dataset.digest[:12]}"' in page
    assert "commit <code>abc123+changes</code>" in page
    assert f"<code>{'a' * 64}</code>" in page
    assert "1 trained on, 1 held out" in page


def test_report_shows_what_the_base_model_can_show_of_legends(page: str, sources: ReportSources) -> None:
    assert "Sen.ACC, PP-OCR" in page
    row = re.search(r"<tr><td>Chinese</td><td>16</td><td>40</td>(.*?)</tr>", page)
    assert row is not None
    assert row[1].count("<td>1.00 → 0.35<small>0.20 to 0.50</small></td>") == 2  # one a reader
    assert row[1].count("<td>1.00 → 0.61<small>0.50 to 0.70</small></td>") == 2
    assert "By PP-OCR, 12 of 90 Chinese legends are lower than 32 px in the training set." in page
    assert "By Tesseract, " not in page
    without = replace(sources, legend_floor={"skipped": "evaluation.max_floor is 0"})
    assert "Left out: evaluation.max_floor is 0." in render_report(without, ReportParameters(data_folder="x"))


def test_report_ranks_pictures(page: str) -> None:
    worst, best = page.index("<b>0.000</b>"), page.index("<b>0.300</b>")
    assert worst < best
    assert "<b>0.300</b> b/p-3" in page, "what the grid leaves out is not linked"
    assert '<b>0.000</b> <a href="#picture-000000000000">b/p-0</a>' in page


def test_report_escapes_what_it_is_given_and_links_to_what_it_has(page: str) -> None:
    assert "&lt;blue&gt; &amp; white" in page
    assert "<blue>" not in page
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert len(ids) == len(re.findall(r' id="', page)), "an id stands once"
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    assert all(" alt=" in tag for tag in re.findall(r"<img [^>]*>", page))


def test_same_run_gives_the_same_page(page: str, sources: ReportSources, data_folder: Path) -> None:
    parameters = ReportParameters(max_pictures=3, num_extremes=1, data_folder=str(data_folder))
    assert render_report(sources, parameters) == page


def test_plots_are_text_in_the_colour_of_the_page() -> None:
    svg = as_svg(plot_training(METRICS), "losses", "Losses & more")
    assert 'role="img" aria-label="Losses &amp; more"' in svg
    assert "currentColor" in svg
    assert "held out" in svg
    assert "timesteps 0 to 499" in svg
    assert "Edge F1, tolerant" in as_svg(plot_scores(SCORES), "scores", "")
    assert as_svg(plot_training([]), "losses", "none yet").startswith("<svg")
    width, height = plot_training(METRICS, is_stacked=True).get_size_inches()
    assert width < 1.5 * height  # kedro-viz cuts off the sides of wider ones
    assert as_svg(plot_scores({SKIPPED: {}}), "scores", "none yet").startswith("<svg")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_shows_it_without_a_complaint(page: str, tmp_path: Path, scheme: str) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    complaints: list[str] = []
    requested: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(color_scheme=scheme)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on(
            "request", lambda request: complaints.append(request.url) if "http" in request.url[:4] else None
        )
        tab.goto((tmp_path / "report.html").as_uri())
        for image in tab.locator("img").all():
            image.scroll_into_view_if_needed()
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        box = tab.locator(".plot svg").first.bounding_box()
        assert box is not None
        assert box["width"] > 500
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert complaints == []
    assert not [url for url in requested if url.startswith("http")]
