"""What the figures mean: name, range, which way is better, and where each comes from.

Tables, reports and MLflow show metrics in this order.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of a set of pictures."""

    title: str
    """A few words for tables."""
    family: str
    """What it tells of: edges, layout, legends, colours, prompt, distribution, diversity, memorisation."""
    field: str | None
    """The field of each picture's record whose mean it is; none for a figure of the whole set."""
    is_higher_better: bool | None
    """None where neither is: it is to be near the real pictures'."""
    range: str
    """Least and greatest value."""


METRICS = {
    "edge_f1": Metric("Edge F1, tolerant", "edges", "edge_f1", True, "0-1"),
    "edge_precision": Metric("Edge precision, tolerant", "edges", "edge_precision", True, "0-1"),
    "edge_recall": Metric("Edge recall, tolerant", "edges", "edge_recall", True, "0-1"),
    "edge_f1_0px": Metric("Edge F1, exact", "edges", "edge_f1_0px", True, "0-1"),
    "edge_precision_0px": Metric("Edge precision, exact", "edges", "edge_precision_0px", True, "0-1"),
    "edge_recall_0px": Metric("Edge recall, exact", "edges", "edge_recall_0px", True, "0-1"),
    "edge_ms_ssim": Metric("Edge MS-SSIM", "edges", "edge_ms_ssim", True, "0-1"),
    "cnpp_f1": Metric("F1 as ControlNet++", "edges", None, True, "0-1"),
    "cnpp_ms_ssim": Metric("MS-SSIM as ControlNet++", "edges", "cnpp_ms_ssim", True, "0-1"),
    "key_iou": Metric("IoU of keys", "layout", "key_iou", True, "0-1"),
    "key_recall": Metric("Keys found", "layout", "key_recall", True, "0-1"),
    "key_precision": Metric("Found keys that belong", "layout", "key_precision", True, "0-1"),
    "sen_acc_ppocr": Metric("Sen.ACC, PP-OCR", "legends", "sen_acc_ppocr", True, "0-1"),
    "ned_ppocr": Metric("NED, PP-OCR", "legends", "ned_ppocr", True, "0-1"),
    "sen_acc_tesseract": Metric("Sen.ACC, Tesseract", "legends", "sen_acc_tesseract", True, "0-1"),
    "ned_tesseract": Metric("NED, Tesseract", "legends", "ned_tesseract", True, "0-1"),
    "colour": Metric("Main colour is the prompt's", "colours", "colour", True, "0-1"),
    "colour_chance": Metric("... or another prompt's", "colours", None, None, "0-1"),
    "panel_colour": Metric("Panel's colour is the prompt's", "colours", "panel_colour", True, "0-1"),
    "key_colour": Metric("Keys' colour is the prompt's", "colours", "key_colour", True, "0-1"),
    "clip_score": Metric("CLIP score", "prompt", "clip_score", True, "0-100"),
    "kid_autoencoder": Metric("KID, autoencoder", "distribution", None, False, "about 0 and more"),
    "fid_autoencoder": Metric("FID, autoencoder", "distribution", None, False, "0 and more"),
    "kid_inception": Metric("KID", "distribution", None, False, "about 0 and more"),
    "fid_inception": Metric("FID", "distribution", None, False, "0 and more"),
    "kid_clip": Metric("KID, CLIP", "distribution", None, False, "about 0 and more"),
    "fid_clip": Metric("FID, CLIP", "distribution", None, False, "0 and more"),
    "cmmd": Metric("CMMD", "distribution", None, False, "0-2000"),
    "vendi_autoencoder": Metric("Vendi score, autoencoder", "diversity", None, None, "1-n"),
    "seeds_autoencoder": Metric("Distance of seeds, autoencoder", "diversity", None, None, "0-2"),
    "vendi_clip": Metric("Vendi score, CLIP", "diversity", None, None, "1-n"),
    "seeds_clip": Metric("Distance of seeds, CLIP", "diversity", None, None, "0-2"),
    "nearest_distance": Metric(
        "Distance to training", "memorisation", "nearest_distance", None, "0-100, CIELAB"
    ),
    "authentic": Metric("Further than siblings", "memorisation", "authentic", None, "0-1"),
}
"""By the name under which scores are kept."""
