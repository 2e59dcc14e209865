"""A key comes from a file or a variable, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError
from probes.models.keys import read_key


def test_a_key_from_either_place(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sesame\n")
    assert read_key(None) is None
    assert read_key(file) == "sesame"
    assert read_key(None, "THE_KEY", environment={"THE_KEY": " open \n"}) == "open"


def test_this_process_has_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sesame")
    assert read_key(None, "THE_KEY") == "sesame"


@pytest.mark.parametrize("value", ["", "two words", "tab\there", "schlüssel", "two\nlines"])
def test_what_no_header_can_carry_is_named_and_not_shown(value: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"\$THE_KEY") as found:
        read_key(None, "THE_KEY", environment={"THE_KEY": value})
    assert not value or value not in str(found.value)
    file = tmp_path / "key"
    file.write_text(value)
    with pytest.raises(BadInputError, match="key") as found:
        read_key(file)
    assert not value or value not in str(found.value)


def test_an_unset_variable_a_missing_file_and_both(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"\$THE_KEY.*not set"):
        read_key(None, "THE_KEY", environment={})
    with pytest.raises(BadInputError, match="nowhere"):
        read_key(tmp_path / "nowhere")
    (tmp_path / "key").write_text("sesame")
    with pytest.raises(BadInputError, match="not in both"):
        read_key(tmp_path / "key", "THE_KEY", environment={"THE_KEY": "sesame"})
