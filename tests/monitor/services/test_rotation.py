"""Rotating the pseudonym key renames everybody, everywhere, once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from evidence import BadInputError, pseudonym
from evidence.identity import key_chain
from monitor.ingest.keys import dead_letter_cipher, load_key
from monitor.services import rotation
from monitor.settings import DatabaseOptions, PseudonymOptions, Settings
from monitor.store import audit, open_store, reading
from monitor.store.forget import forgotten
from monitor.store.schema import rater_posteriors, responses, tombstones, worker_heartbeats
from tests.monitor.cli.conftest import Candor
from tests.monitor.store.test_forget import KEY, USER, do_forget, everything, fill

NOW_S = 1_760_000_100.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(KEY + b"\n")
    path.chmod(0o600)
    return Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        pseudonym=PseudonymOptions(key_file=path),
    )


def key_of(settings: Settings) -> bytes:
    return load_key(
        settings.pseudonym.key_file, name="pseudonym", database_url=settings.database.url
    )


def test_no_table_holds_an_old_name_and_all_hold_the_new(settings: Settings) -> None:
    engine = open_store(settings.database)
    fill(engine)
    before = everything(engine)
    done = rotation.rotate_pseudonyms(
        settings.database.url, settings.pseudonym.key_file, now_s=NOW_S
    )
    key, held = key_of(settings), everything(engine)
    assert (done["raters"], done["links"]) == (3, 2)
    for user in (USER, "bob", "carol"):
        old, new = pseudonym(user, KEY).encode(), pseudonym(user, key).encode()
        assert not [name for name, cells in held.items() if old in cells]
        for name, cells in before.items():
            assert cells.count(old) == held[name].count(new), name
    with reading(engine) as connection:
        assert audit.verify(connection).ok
    letter = dead_letter_cipher(KEY).encrypt(b"x")
    assert dead_letter_cipher(key).decrypt(letter) == b"x"
    path = settings.pseudonym.key_file
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in path.parent.glob("pseudonym*")) == ["pseudonym.key"]
    rotation.rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=NOW_S)
    assert len(key_chain(key_of(settings))) == 3
    with reading(engine) as connection:
        raters = set(connection.execute(select(responses.c.rater)).scalars())
    assert raters == {pseudonym(user, key_of(settings)) for user in (USER, "bob", "carol")}


def test_the_forgotten_stay_forgotten_under_either_name(settings: Settings) -> None:
    engine = open_store(settings.database)
    fill(engine)
    do_forget(engine)
    rotation.rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=NOW_S)
    both = {pseudonym(USER, KEY), pseudonym(USER, key_of(settings))}
    with reading(engine) as connection:
        assert forgotten(connection, both) == both
        assert len(connection.execute(select(tombstones)).all()) == 2


def test_an_interrupted_rotation_is_finished_and_renames_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_store(settings.database)
    fill(engine)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "finish_rotation", killed)
        with pytest.raises(KeyboardInterrupt):
            rotation.rotate_pseudonyms(
                settings.database.url, settings.pseudonym.key_file, now_s=NOW_S
            )
    assert key_of(settings) == KEY
    assert (
        rotation.rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=NOW_S)[
            "raters"
        ]
        == 0
    )
    with reading(engine) as connection:
        raters = set(connection.execute(select(rater_posteriors.c.rater)).scalars())
    assert raters == {pseudonym(user, key_of(settings)) for user in (USER, "bob", "carol")}


def test_a_rotation_that_never_reached_the_store_begins_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_store(settings.database)
    fill(engine)

    def killed(*given: object, **named: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "rekey", killed)
        with pytest.raises(KeyboardInterrupt):
            rotation.rotate_pseudonyms(
                settings.database.url, settings.pseudonym.key_file, now_s=NOW_S
            )
    assert (
        rotation.rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=NOW_S)[
            "raters"
        ]
        == 3
    )
    with reading(engine) as connection:
        raters = set(connection.execute(select(rater_posteriors.c.rater)).scalars())
    assert pseudonym("bob", key_of(settings)) in raters


def test_a_living_worker_is_named(settings: Settings) -> None:
    engine = open_store(settings.database)
    with engine.begin() as connection:
        row = {"worker": "w1", "seen_at_s": NOW_S - 5, "expected": 0, "actual": 0}
        columns = {c.name: 0 for c in worker_heartbeats.columns if not c.nullable}
        connection.execute(insert(worker_heartbeats).values(**{**columns, **row}))
    with pytest.raises(BadInputError, match="w1"):
        rotation.rotate_pseudonyms(settings.database.url, settings.pseudonym.key_file, now_s=NOW_S)


def test_the_command_says_what_it_did(candor: Candor) -> None:
    assert candor("db", "upgrade").code == 0
    assert candor("keys", "create", "pseudonym").code == 0
    done = candor("keys", "rotate", "pseudonym", "--json", pseudonym_key_file="var/pseudonym.key")
    assert done.code == 0, done.err
    assert done.json == {"raters": 0, "file": "var/pseudonym.key", "links": 2}
    refused = candor("keys", "rotate", "sampling")
    assert refused.code == 2
    assert "not rotated" in refused.err
