from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError, VerdictKind
from retrain.policy import Policy, read_policy


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return path


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = _write(tmp_path, "version: 1\nmax_p_lie: 0.3\nquarantine_verdicts: [lie]\n")
    policy = read_policy(path)
    assert policy.max_p_lie == 0.3
    assert policy.quarantine_verdicts == (VerdictKind.LIE,)
    assert policy.digest != Policy().digest
    assert read_policy(_write(tmp_path, "")) == Policy()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("max_p_lye: 0.3", "max_p_lye"),
        ("max_p_lie: 2", "max_p_lie"),
        ("quarantine_verdicts: [liar]", "quarantine_verdicts.0"),
        ("version: 2", "version"),
        ("expiry_s: .inf", "expiry_s"),
        ("expiry_s: .nan", "expiry_s"),
        ("expiry_s: 1000000000000", "expiry_s"),
        ("max_influence: .inf", "max_influence"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(BadInputError) as error:
        read_policy(_write(tmp_path, text))
    assert error.value.where.endswith(where)


@pytest.mark.parametrize(
    "text", ["max_p_lie: 0.3\nmax_p_lie: 0.9", "a: 1\nmax_p_lie: 0.3\n'max_p_lie': 0.9"]
)
def test_a_field_given_twice_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInputError, match="`max_p_lie` is given twice") as error:
        read_policy(_write(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "{b: " * 5000 + "}" * 5000, "? [1]\n: 2"])
def test_what_no_parser_stands_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInputError) as error:
        read_policy(_write(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just text"])
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInputError):
        read_policy(_write(tmp_path, text))
    with pytest.raises(BadInputError, match="cannot be read"):
        read_policy(tmp_path / "none.yaml")
