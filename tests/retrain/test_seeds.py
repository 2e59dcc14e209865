from __future__ import annotations

from pathlib import Path

import pytest

from evidence import BadInputError
from retrain.seeds import SeedBook, SeedSpread, read_book, write_book


def test_measurements_of_a_model_are_pooled_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    assert read_book(path) == SeedBook()
    one = SeedSpread(deviation=0.02, freedom=1)
    book = read_book(path).with_measured("m1", {"sampled": one})
    write_book(path, book)
    book = read_book(path).with_measured("m1", {"sampled": SeedSpread(deviation=0.04, freedom=3)})
    pooled = book.of("m1")["sampled"]
    assert pooled.freedom == 4
    assert pooled.deviation == pytest.approx(((0.02**2 + 3 * 0.04**2) / 4) ** 0.5)
    assert book.of("m2") == {}


def test_few_seeds_allow_for_much_and_many_for_less() -> None:
    few = SeedSpread(deviation=0.01, freedom=1).allowance(2, 0.025)
    many = SeedSpread(deviation=0.01, freedom=10).allowance(2, 0.025)
    assert few == pytest.approx(0.127, abs=0.001)
    assert many == pytest.approx(0.0223, abs=0.001)
    assert SeedSpread(deviation=0.01, freedom=10).allowance(8, 0.025) == pytest.approx(many / 2)


def test_a_broken_book_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    path.write_text("{", encoding="ascii")
    with pytest.raises(BadInputError, match="book of seed spreads"):
        read_book(path)
