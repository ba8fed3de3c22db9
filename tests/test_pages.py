"""What self-contained pages share."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from skin_pipeline.pages import page_environment, webp_uri


@pytest.mark.parametrize(("size_px", "expected"), [((600, 400), (300, 200)), ((200, 100), (200, 100))])
def test_pictures_are_shrunk_but_never_enlarged(size_px: tuple[int, int], expected: tuple[int, int]) -> None:
    uri = webp_uri(np.full((*size_px[::-1], 3), 99, np.uint8), 300, 80)
    head, _, content = uri.partition(",")
    assert head == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == expected


def test_templates_escape_share_a_look_and_refuse_what_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "page").write_text('<style>{% include "page.css.jinja2" %}</style>{{ text }}')
    template = page_environment(tmp_path).get_template("page")
    assert template.render(text="<b>").endswith("&lt;b&gt;")
    assert "light-dark(" in template.render(text="")
    with pytest.raises(UndefinedError):
        template.render()
