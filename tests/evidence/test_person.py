from __future__ import annotations

import pytest

from evidence import BadInputError
from evidence.person import Person, person, same_person


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("ana", "Ana "),
        ("ana", "\u0430na"),
        ("ana", "an\u0430"),
        ("ana", "\uff41na"),
        ("ana", "a\u200bna"),
        ("ana", "a\u00adna"),
        ("Bo", "\u0412\u043e"),
        ("BO", "\u0392\u039f"),
        ("ida", "Ida"),
        ("lda", "Ida"),
        ("bob", "b0b"),
        ("ana  li", "Ana\u00a0Li"),
        ("ana@x", "ana\uff20x"),
        ("Straße", "STRASSE"),
        ("\u0430\u043d\u043d\u0430", "\u0410\u041d\u041d\u0410"),
    ],
)
def test_names_that_read_alike_are_one_person(a: str, b: str) -> None:
    assert same_person(a, b)
    assert same_person(b, a)


@pytest.mark.parametrize(
    ("a", "b"), [("ana", "anna"), ("bo", "ana"), ("", ""), ("", "ana"), ("\u200b", " ")]
)
def test_other_names_are_other_people(a: str, b: str) -> None:
    assert not same_person(a, b)


def test_a_person_is_compared_by_name_and_by_key() -> None:
    acting = Person("bo", "ana")
    assert acting.signed == "bo via ana"
    assert all(acting.may_be(name) for name in ("Bo", "ANA", "bo via ana"))
    assert not acting.may_be("eve")
    assert person(None, "ana") == Person("ana", "ana")
    assert person("ana", "ana").signed == "ana"


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "\u00ad\ufeff", None])
def test_nobody_acts_without_a_name(name: str | None) -> None:
    with pytest.raises(BadInputError):
        person(name)
