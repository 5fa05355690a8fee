"""User names and passwords: what is taken, and checks that cost the same whether or not there is anything to check.

Refusals are the sentences a person reads on the registration page, so they are Chinese.
"""

import unicodedata

from werkzeug.security import check_password_hash, generate_password_hash

LONGEST_USERNAME = 64
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 128
# As dear to check as a real one, and the hash of nothing.
NOBODYS_HASH = f"scrypt:32768:8:1${'0' * 16}${'0' * 128}"
COMMON_PASSWORDS = frozenset(
    {
        "000000000000",
        "111111111111",
        "123123123123",
        "123456123456",
        "123456789012",
        "1234567890ab",
        "1234567890abc",
        "1q2w3e4r5t6y",
        "1qaz2wsx3edc",
        "888888888888",
        "abcdefghijkl",
        "adminadminadmin",
        "administrator",
        "changeme1234",
        "iloveyou1234",
        "letmein12345",
        "opsplatform1",
        "password1234",
        "password12345",
        "password123456",
        "passwordpassword",
        "qwerty123456",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopas",
        "welcome12345",
    }
)


def normalise(username: str) -> str:
    """The one spelling of a name: full-width letters and the like become the plain ones."""
    return unicodedata.normalize("NFKC", username)


def refusal_of_username(username: str) -> str | None:
    """Why a normalised name is not taken, None when it is."""
    if not username.strip():
        return "用户名不能为空"
    if len(username) > LONGEST_USERNAME:
        return f"用户名不能超过{LONGEST_USERNAME}个字符"
    if username != username.strip():
        return "用户名首尾不能有空格"
    if any(unicodedata.category(character)[0] == "C" or character in "\u2028\u2029" for character in username):
        return "用户名不能包含控制字符"
    return None


def refusal_of_password(password: str, username: str) -> str | None:
    """Why a password is not taken, None when it is; there are no rules of composition."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"密码长度应为{SHORTEST_PASSWORD}到{LONGEST_PASSWORD}个字符"
    if normalise(password).casefold() == username.casefold():
        return "密码不能与用户名相同"
    if password.casefold() in COMMON_PASSWORDS:
        return "密码过于常见，请换一个"
    return None


def hash_password(password: str) -> str:
    """A salted scrypt hash."""
    return generate_password_hash(password)


def is_password(password: str, pwd_hash: str | None) -> bool:
    """Whether this is the password; without a hash it takes as long and is not."""
    matches = check_password_hash(pwd_hash or NOBODYS_HASH, password[: LONGEST_PASSWORD + 1])
    return matches and pwd_hash is not None
