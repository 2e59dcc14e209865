"""Who acts: a person and the API key that was shown, compared with others by one rule."""

from __future__ import annotations

import functools
import unicodedata

import msgspec

from evidence.errors import BadInputError

# Beside Unicode's pairs: what a font, or a change of case, makes one.
_LOOK = {"i": "l", "1": "l", "|": "l", "0": "o"}


class Person(msgspec.Struct, frozen=True):
    """A person, and the name of the key that they showed; None where no keys are in use."""

    name: str
    key: str | None = None

    @property
    def signed(self) -> str:
        """The name that is recorded: the person's, and the key's where it is another."""
        return self.name if self.key in {None, self.name} else f"{self.name} via {self.key}"

    def may_be(self, name: str) -> bool:
        """Whether `name` is this person or the holder of this key, as people read names."""
        return any(same_person(name, own) for own in (self.name, self.key, self.signed) if own)


def person(name: str | None, key: str | None = None) -> Person:
    """The person who acts. Raises BadInputError for no name, or one of blanks and invisible marks."""
    named = name if name is not None else key
    if named is None or not _visible(named):
        raise BadInputError("say who you are, in letters that can be seen", "by")
    return Person(named.strip(), key)


def same_person(a: str, b: str) -> bool:
    """Whether two names read alike: case, blanks, width, invisible marks and the letters of other
    alphabets that look the same (Unicode's confusables) make no other person."""
    return any(x == y != "" for x, y in zip(_forms(a), _forms(b), strict=True))


def _forms(name: str) -> tuple[str, str]:
    """The name as small and as capital letters look: an alphabet may resemble another in one alone."""
    text = _visible(name)
    return _skeleton(text.casefold()), _skeleton(text.upper())


def _visible(name: str) -> str:
    text = unicodedata.normalize("NFKC", name)
    return "".join(c for c in text if unicodedata.category(c)[0] not in "CZ")


def _skeleton(text: str) -> str:
    like = "".join(_prototype(c) for c in text)
    return "".join(_LOOK.get(c, c) for c in unicodedata.normalize("NFKC", like).casefold())


def _prototype(letter: str) -> str:
    """The letter that stands for all that look like it."""
    alike = _confusables().get(letter, ())
    if len(alike) != 1:
        return letter
    other = str(alike[0]["c"])
    return other if len(_confusables().get(other, ())) > 1 else min(letter, other)


@functools.cache
def _confusables() -> dict[str, list[dict[str, str]]]:
    # A megabyte, read when the first names are compared.
    from confusable_homoglyphs.confusables import confusables_data  # noqa: PLC0415

    return dict(confusables_data)
