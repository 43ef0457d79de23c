"""Users and keys."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from store import accounts
from store.database import Database
from store.errors import Conflict, NotFound
from store.tables import ApiKey
from tests.jobs import person


def test_a_key_opens_until_it_is_revoked(database: Database) -> None:
    ada, bob = person(database, "ada"), person(database, "bob")
    with database.transaction() as session:
        key, other = accounts.create_key(session, ada, "laptop"), accounts.create_key(session, bob)
    with database.transaction() as session:
        found = accounts.authenticate(session, key)
        assert found is not None
        assert found.id == ada.id
        (row,) = accounts.keys(session, ada)
        assert row.name == "laptop"
        with pytest.raises(NotFound):
            accounts.revoke_key(session, bob, row.id)
        accounts.revoke_key(session, ada, row.id)
        accounts.revoke_key(session, ada, row.id)
        assert accounts.authenticate(session, key) is None
        assert accounts.authenticate(session, other) is not None


def test_the_database_does_not_hold_the_secret(database: Database) -> None:
    ada = person(database, "ada")
    with database.transaction() as session:
        key = accounts.create_key(session, ada)
        row = session.scalars(select(ApiKey)).one()
        secret = key.split("_", 2)[2]
        assert len(secret) >= 128 / 6
        assert not any(secret in str(value) for value in vars(row).values())


@pytest.mark.parametrize("damage", ["", "sieve", "sieve__", "x{}", "{}x", "sieve_\0_x", "Sieve{}", "sieve_ä_é"])
def test_what_is_nearly_a_key_opens_nothing(database: Database, damage: str) -> None:
    ada = person(database, "ada")
    with database.transaction() as session:
        key = accounts.create_key(session, ada)
        assert accounts.authenticate(session, damage.format(key)) is None
        assert accounts.looker(session, damage.format(key)) is None


def test_names_are_taken_once(database: Database) -> None:
    person(database, "ada")
    with pytest.raises(Conflict):
        person(database, "ada")
