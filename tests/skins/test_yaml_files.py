import time

import pytest

from skin_pipeline.skins.yaml_files import MAX_BYTES, lines_of_keys, load_yaml


def test_merges_and_aliases_are_resolved():
    text = b"base: &b {a: 1, list: &l [1, 2]}\nmore: {<<: *b, c: *l}\n"
    assert load_yaml(text)["more"] == {"a": 1, "list": [1, 2], "c": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        b"a: &a [*a]",
        b"a: *unknown",
        b"[" * 100 + b"]" * 100,
        b"a: !!python/object/apply:os.system [ls]",
        b"\xff\xfe\x00",
        b"a: \x00",
        b"{a: b",
        b"x" * (MAX_BYTES + 1),
        b"a: " + b"9" * 5000,
        b"? [1]\n: 2",
    ],
)
def test_what_is_no_plain_yaml_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        load_yaml(text)


@pytest.mark.parametrize("form", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_of_aliases_are_refused_before_they_are_built(form):
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} " + form.format(", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 12)]
    start = time.process_time()
    with pytest.raises(ValueError, match="once aliases are written out"):
        load_yaml("\n".join(lines).encode())
    assert time.process_time() - start < 1


def test_lines_of_top_level_keys():
    assert lines_of_keys(b"a: 1\n# c\n'b': 2\n  c: 3\n\"d e\" : 4\n") == {"a": 1, "b": 3, "d e": 5}
