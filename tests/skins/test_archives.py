import os
import stat
import zipfile

import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.skins.archives import ArchiveLimits, read_package
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.packages import read_skin
from tests.skins.packages import baidu_files, raw_zip, save, save_folder, zipped


def load(path, limits=None):
    findings = Findings()
    files = read_package(path, findings, limits or ArchiveLimits())
    return files, [str(finding) for finding in findings.all()]


def test_a_zip_and_a_folder_hold_the_same(tmp_path):
    files = baidu_files()
    from_zip, found_in_zip = load(save(tmp_path, zipped(files)))
    from_folder, found_in_folder = load(save_folder(tmp_path / "skin", files))
    assert dict(from_zip) == dict(from_folder) == files
    assert found_in_zip == found_in_folder == []


def test_files_are_found_whatever_their_case(tmp_path):
    files, _ = load(save(tmp_path, zipped({"Port/PY_26.ini": b"a", "port/py_26.INI": b"b"})))
    assert files.find("port/py_26.INI") == "port/py_26.INI"
    assert files["PORT/PY_26.INI"] in (b"a", b"b")
    assert files.find("port/none.ini") is None


@pytest.mark.parametrize(
    "name", ["../evil.ini", "a/../../evil.ini", "/evil.ini", "C:\\evil.ini", "..\\evil.ini"]
)
def test_paths_that_lead_out_are_left_out(tmp_path, name):
    path = save(tmp_path, raw_zip([(b"good.ini", b"x"), (name.encode(), b"x")]))
    before = sorted(tmp_path.rglob("*"))
    files, found = load(path)
    assert list(files) == ["good.ini"]
    assert "its path leads out of the package" in found[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_left_out(tmp_path, kind):
    good = save(tmp_path, raw_zip([(b"a.ini", b"x")], attributes=(stat.S_IFREG | 0o644) << 16))
    assert list(load(good)[0]) == ["a.ini"]
    with pytest.raises(InputError, match="a link or a device"):
        load(save(tmp_path, raw_zip([(b"a.ini", b"/etc/passwd")], attributes=(kind | 0o644) << 16)))


def test_links_and_devices_in_a_folder_are_left_out(tmp_path):
    outside = tmp_path / "secret.ini"
    outside.write_bytes(b"secret")
    folder = save_folder(tmp_path / "skin", {"a.ini": b"x"})
    (folder / "link.ini").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(folder / "pipe.ini")
    files, found = load(folder)
    assert list(files) == ["a.ini"]
    assert len(found) == 2


def test_backslashes_separate_folders(tmp_path):
    assert list(load(save(tmp_path, raw_zip([(b"port\\gen.ini", b"x")])))[0]) == ["port/gen.ini"]


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_unmarked_names_are_utf_8_or_gbk(tmp_path, encoding):
    files, _ = load(save(tmp_path, raw_zip([("皮肤/五韵.ini".encode(encoding), b"x")])))
    assert list(files) == ["皮肤/五韵.ini"]


def test_marked_names_are_utf_8(tmp_path):
    assert list(load(save(tmp_path, raw_zip([("五韵.ini".encode(), b"x")], flags=0x800)))[0]) == ["五韵.ini"]


@pytest.mark.parametrize("flags", [0x1, 0x900, 0x901])
def test_a_false_encryption_flag_is_ignored(tmp_path, flags):
    files, found = load(save(tmp_path, raw_zip([(b"a.ini", b"plain")], flags=flags)))
    assert dict(files) == {"a.ini": b"plain"}
    assert not found


def test_the_last_of_several_entries_counts(tmp_path):
    files, found = load(save(tmp_path, raw_zip([(b"a.ini", b"first"), (b"a.ini", b"second")])))
    assert dict(files) == {"a.ini": b"second"}
    assert found == ["a.ini: the package has it more than once (the last one counts)"]


def test_a_bomb_is_left_out(tmp_path):
    content = raw_zip([(b"a.ini", b"x"), (b"bomb.ini", bytes(8 << 20))])
    files, found = load(save(tmp_path, content))
    assert list(files) == ["a.ini"]
    assert "1000 times its size" in found[0]


def test_large_entries_and_what_exceeds_the_total_are_left_out(tmp_path):
    noise = os.urandom(3000)
    path = save(tmp_path, zipped({"a.ini": noise, "b.ini": noise, "c.ini": noise[:10]}))
    files, found = load(path, ArchiveLimits(entry_bytes=4000, total_bytes=4000))
    assert list(files) == ["a.ini", "c.ini"]
    assert "b.ini: it is larger than" in found[0]


@pytest.mark.parametrize(
    ("limits", "message"),
    [(ArchiveLimits(entries=2), "more than 2 files"), (ArchiveLimits(archive_bytes=100), "more than 100")],
)
def test_too_large_packages_are_refused(tmp_path, limits, message):
    path = save(tmp_path, zipped({f"{index}.ini": b"x" for index in range(3)}))
    with pytest.raises(InputError, match=message):
        load(path, limits)


def test_a_zip_without_a_directory_is_read_entry_by_entry(tmp_path):
    whole = zipped(baidu_files())
    cut = whole[: whole.index(b"PK\x01\x02")]
    skin = read_skin(save(tmp_path, cut))
    assert skin.name == "Test skin"
    assert any("directory is broken" in finding.problem for finding in skin.findings)
    assert skin.themes == read_skin(save(tmp_path, whole)).themes


def test_an_entry_that_is_damaged_is_left_out(tmp_path):
    content = bytearray(zipped({"a.ini": b"x" * 50, "b.ini": os.urandom(500)}))
    at = content.index(b"b.ini") + 40
    content[at : at + 20] = bytes(20)
    files, found = load(save(tmp_path, bytes(content)))
    assert list(files) == ["a.ini"]
    assert "b.ini: it cannot be unpacked" in found[0]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + bytes(18), b"PK\x03\x04", bytes(1000)])
def test_what_is_no_package_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"skin\.bds"):
        load(save(tmp_path, content))


def test_a_missing_package_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.bds")


def test_what_no_skin_needs_is_not_unpacked(tmp_path):
    path = tmp_path / "skin.bds"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.ini", "x")
        archive.writestr("click.ogg", "x")
        archive.writestr("port/", "")
    assert list(load(path)[0]) == ["a.ini"]
