"""Reading skins of Baidu's input method (``.bds``, ``.bdi``)."""

from skin_pipeline.skins.baidu.importer import is_baidu, read_baidu

__all__ = ["is_baidu", "read_baidu"]
