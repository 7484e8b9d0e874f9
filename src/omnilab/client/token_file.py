"""The token in a file that processes of one machine share: sealed, replaced whole, and guarded by a lock.

The key is derived from the client secret (HKDF-SHA-256) and the seal (AES-256-GCM) is bound to client, audience and
base URL: who cannot get a token anyway cannot read or forge one here. Whatever is wrong with the file, it only counts
as absent. Needs `cryptography` and `fcntl`; both are looked for when a client is made with a file, not before.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from omnilab.client.clock import random_bytes
from omnilab.client.errors import ConfigurationError
from omnilab.client.hidden import Hidden
from omnilab.client.log import log
from omnilab.client.settings import Settings
from omnilab.client.token import AccessToken

_MAGIC = b"omnilab-token-1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_MAX_BYTES = 65_536
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A link that somebody else put in the way is not followed; the descriptor is not inherited by other programs.
_SAFE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class _Kept(msgspec.Struct):
    """What is sealed. `requested_at` is on a clock that begins anew when the machine does, hence `boot`."""

    access_token: str
    epoch: int
    boot: str
    requested_at: float
    lifetime_seconds: float


_decode = msgspec.json.Decoder(_Kept).decode


class FileLock:
    """The held lock. The kernel frees it when the process dies, however it dies."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class TokenFile:
    """A file with one token. `works` turns False when the file system refuses; the client then goes on without."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._fcntl, self._primitives = _required()
        self._path = path
        self._settings = settings
        bound = (settings.client_id, settings.audience, settings.base_url)
        self._bound_to = _MAGIC + msgspec.json.encode(bound)
        self._boot = _boot_id()
        self.works = True

    def read(self) -> AccessToken | None:
        """The token that another process left, or None. It may be old: whoever reads it decides."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | _SAFE_FLAGS)
            with open(descriptor, "rb") as file:
                raw = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        return self._opened(raw)

    def write(self, token: AccessToken) -> None:
        """Put the token in the file's place, unless one of a later epoch stands there."""
        there = self.read()
        if there is not None and there.epoch > token.epoch and there.seconds_left(self._settings.clock) > 0:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.{random_bytes(6).hex()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE_FLAGS, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(self._sealed(token))
                os.replace(temporary, self._path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._complain(error)

    def try_lock(self) -> FileLock | None:
        """The lock if nobody has it, else None. Beside the file, for the file itself is replaced."""
        path = self._path.with_name(self._path.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE_FLAGS, 0o600)
        except OSError as error:
            self._complain(error)
            return None
        try:
            self._fcntl.flock(descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                self._complain(error)
            return None
        self.works = True
        return FileLock(descriptor)

    def _opened(self, raw: bytes) -> AccessToken | None:
        """None for what is cut off, changed, of another client, of an earlier secret or of an earlier start."""
        head = len(_MAGIC) + _SALT_BYTES
        salt, nonce, sealed = raw[len(_MAGIC) : head], raw[head : head + _NONCE_BYTES], raw[head + _NONCE_BYTES :]
        if not raw.startswith(_MAGIC) or len(sealed) <= 16:
            return None
        try:
            kept = _decode(self._cipher(salt).decrypt(nonce, sealed, self._bound_to))
        except (self._primitives["InvalidTag"], msgspec.DecodeError, ConfigurationError):
            return None
        if kept.boot != self._boot or kept.requested_at > self._settings.clock.now():
            return None
        return AccessToken(
            Hidden(kept.access_token),
            epoch=kept.epoch,
            requested_at=kept.requested_at,
            lifetime_seconds=kept.lifetime_seconds,
            chance=self._settings.clock.chance(0.0, 1.0),
        )

    def _sealed(self, token: AccessToken) -> bytes:
        salt, nonce = random_bytes(_SALT_BYTES), random_bytes(_NONCE_BYTES)
        kept = _Kept(token.reveal(), token.epoch, self._boot, token.requested_at, token.lifetime_seconds)
        sealed: bytes = self._cipher(salt).encrypt(nonce, msgspec.json.encode(kept), self._bound_to)
        return _MAGIC + salt + nonce + sealed

    def _cipher(self, salt: bytes) -> Any:
        make = self._primitives
        derive = make["HKDF"](algorithm=make["SHA256"](), length=32, salt=salt, info=b"omnilab shared token")
        return make["AESGCM"](derive.derive(self._settings.secret.read().reveal().encode()))

    def _complain(self, error: OSError) -> None:
        if self.works:
            self.works = False
            log().warning("the shared token file %s cannot be used: %s", self._path, type(error).__name__)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _required() -> tuple[ModuleType, dict[str, Any]]:
    # Loaded only for clients that share a file: two thirds of what importing the SDK costs otherwise.
    try:
        import fcntl  # noqa: PLC0415

        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError.of(
            f"token_cache needs {error.name or 'cryptography'}: install omnilab[cache] (there is none on Windows)."
        ) from None
    return fcntl, {"InvalidTag": InvalidTag, "AESGCM": AESGCM, "SHA256": SHA256, "HKDF": HKDF}
