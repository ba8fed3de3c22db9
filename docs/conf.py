"""Settings of the documentation's site; ``make docs`` builds it into build/docs."""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(PROJECT / "conf/logging.yml"))

from skin_pipeline import __version__  # noqa: E402
from tools.reference_pages import write_pages  # noqa: E402

project = "skin_pipeline"
version = release = __version__
html_title = f"skin_pipeline {__version__}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "attrs_inline"]
myst_heading_anchors = 3
autoclass_content = "both"
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
exclude_patterns = ["_build"]

# The reference is made from the code, each time.
write_pages(Path(__file__).parent / "reference")
