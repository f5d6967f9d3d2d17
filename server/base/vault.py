"""Encryption of secrets at rest, and hashing of secrets that only have to be recognised."""

import hashlib
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Vault:
    """Encrypts with the first key and decrypts with any of them, so that keys can be rotated."""

    def __init__(self, keys: str) -> None:
        """Raises ValueError unless `keys` are Fernet keys (32 bytes, URL-safe base64) joined by commas."""
        fernets = [Fernet(key.strip()) for key in keys.split(",")]
        self._first = fernets[0]
        self._fernet = MultiFernet(fernets)

    def encrypt(self, secret: str) -> bytes:
        """The secret as it may be stored."""
        return self._fernet.encrypt(secret.encode())

    def decrypt(self, stored: bytes | memoryview) -> str:
        """The secret again. Raises cryptography.fernet.InvalidToken when no key fits."""
        return self._fernet.decrypt(bytes(stored)).decode()

    def is_current(self, stored: bytes | memoryview) -> bool:
        """Whether the first key decrypts it."""
        try:
            self._first.decrypt(bytes(stored))
        except InvalidToken:
            return False
        return True

    def renewed(self, stored: bytes | memoryview) -> bytes:
        """The same secret, encrypted with the first key. Raises InvalidToken when no key fits."""
        return self._fernet.rotate(bytes(stored))


def fingerprint(secret: str) -> bytes:
    """SHA-256. Enough for random secrets of 256 bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()


def new_key() -> str:
    """A new key that a Vault can be made with."""
    return Fernet.generate_key().decode()


def key_file(path: Path) -> str:
    """The key in the file, which is made, readable by its owner alone, if there is none. For dev mode."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(new_key())
    return path.read_text().strip()
