"""The logins of the demo. They are public: both sites listen on loopback only."""

from typing import Any, NamedTuple


class Account(NamedTuple):
    """A login that the demo creates and shows."""

    username: str
    password: str
    first_name: str
    last_name: str
    is_admin: bool = False


ALICE = Account("alice", "alice-at-daylight", "Alice", "Liddell")
BOB = Account("bob", "bob-at-daylight", "Bob", "Sawyer")
ADMIN = Account("admin", "admin-at-daylight", "Ada", "Admin", is_admin=True)
SITE_USERS = (ALICE, BOB, ADMIN)

ACME_ALICE = Account("alice", "alice-at-acme", "Alice", "Liddell")
ACME_BOB = Account("bob", "bob-at-acme", "Bob", "Sawyer")
ACME_USERS = (ACME_ALICE, ACME_BOB)


def ensure_users(user_model: Any, accounts: tuple[Account, ...]) -> None:
    """Create the accounts that are missing.

    One that exists is left as it is: with ``DATABASE_URL`` it may be somebody's real account.
    """
    for account in accounts:
        if user_model.objects.filter(username=account.username).exists():
            continue
        user_model.objects.create_user(
            username=account.username,
            password=account.password,
            email=f"{account.username}@example.com",
            first_name=account.first_name,
            last_name=account.last_name,
            is_staff=account.is_admin,
            is_superuser=account.is_admin,
        )
