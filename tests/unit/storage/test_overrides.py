"""Settings that were changed while a node ran, in a file: kept whole, or as they were before."""

from pathlib import Path

import pytest

from mxlab_services.errors import ConfigError, SpoolError
from mxlab_services.storage.overrides import FileOverrides


def test_what_was_saved_is_loaded_by_the_next_life(tmp_path: Path) -> None:
    file = tmp_path / "data" / "settings.json"
    assert FileOverrides(file).load() == {}
    FileOverrides(file).save({"limits.hops": 5})
    FileOverrides(file).save({"limits.hops": 6, "recipients": None})
    assert FileOverrides(file).load() == {"limits.hops": 6, "recipients": None}
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_half_a_change_is_none(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    FileOverrides(file).save({"limits.hops": 5})
    file.with_suffix(".new").write_bytes(b'{"limits.hops": 6')  # a crash came then
    assert FileOverrides(file).load() == {"limits.hops": 5}


def test_what_is_no_list_of_settings_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text("[1]")
    with pytest.raises(ConfigError, match=r"settings\.json.*remove it"):
        FileOverrides(file).load()


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(SpoolError, match="cannot be kept"):
        FileOverrides(tmp_path / "data" / "settings.json").save({})
