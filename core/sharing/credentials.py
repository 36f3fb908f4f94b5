"""Names and passwords that let people in: made, printed once, and kept in memory as Argon2 hashes only.

Nothing of them is written anywhere. They hold until the program ends; the next start makes new ones.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

Role = Literal["owner", "guest"]

PASSWORD_BYTES = 15
LONGEST = 256
"""Characters of a name or a password that are looked at: hashing more would only cost time."""
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
"""What OWASP's Password Storage Cheat Sheet asks of Argon2id at the least: 19 MiB, two passes, one lane."""


@dataclass(frozen=True)
class Login:
    role: Role
    name: str
    hashed: str


def made_password() -> str:
    """120 random bits as 20 characters."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def login(role: Role, name: str, password: str) -> Login:
    """The login with its password hashed."""
    return Login(role, name, _HASHER.hash(password[:LONGEST]))


def role_of(logins: Sequence[Login], name: str, password: str) -> Role | None:
    """Whose name and password these are.

    Every login's hash is verified, whatever the name, so that the time taken tells neither which names there are nor
    which of the two was wrong.
    """
    found: Role | None = None
    for one in logins:
        named = secrets.compare_digest(one.name.encode(), name[:LONGEST].encode())
        if _fits(one, password[:LONGEST]) and named:
            found = found or one.role
    return found


def _fits(one: Login, password: str) -> bool:
    """Argon2 compares in constant time."""
    try:
        return _HASHER.verify(one.hashed, password)
    except VerifyMismatchError:
        return False
