"""Tokens as they are stored: encrypted, with what calls need beside them."""

import json
from collections.abc import Mapping

from server.accounts.rows import StoredTokens
from server.base.vault import Vault
from server.platforms import Tokens


def encrypted(tokens: Tokens, vault: Vault) -> StoredTokens:
    """The tokens as they may be stored. An import has no context."""
    return StoredTokens(
        vault.encrypt(tokens.access_token),
        vault.encrypt(tokens.refresh_token) if tokens.refresh_token else None,
        sealed(tokens.context, vault) if tokens.context else None,
    )


def decrypted(stored: StoredTokens, vault: Vault) -> Tokens:
    """The tokens again, of unknown age and scopes. Raises cryptography.fernet.InvalidToken."""
    return Tokens(
        access_token=vault.decrypt(stored.access_token),
        refresh_token=vault.decrypt(stored.refresh_token) if stored.refresh_token else None,
        expire_time=None,
        scopes=(),
        context=opened(stored.context, vault),
    )


def sealed(values: Mapping[str, str], vault: Vault) -> bytes:
    """Named values as they may be stored."""
    return vault.encrypt(json.dumps(dict(values)))


def opened(stored: bytes | memoryview | None, vault: Vault) -> dict[str, str]:
    """The values again; none where nothing was stored."""
    values: dict[str, str] = json.loads(vault.decrypt(stored)) if stored is not None else {}
    return values
