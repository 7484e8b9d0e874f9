"""Reading the tree from `OMNILAB_*` and `omnilab.toml`; problems are gathered and reported at once."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from omnilab.crypto.sealing import MasterKey, MasterKeyError
from omnilab.crypto.secret import Secret
from omnilab.errors import FieldError
from omnilab.settings import master_key, values
from omnilab.settings.tree import (
    DEFAULT_DIRECTORY,
    DEFAULT_PUBLIC_URL,
    KNOWN,
    OFF_IN_DEVELOPMENT,
    OTHERS_NAMES,
    PREFIX,
    Settings,
    SettingsError,
)

T = TypeVar("T")
_DEFAULTS = Settings()


def load_settings(
    environ: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
    *,
    make_master_key: bool = False,
) -> Settings:
    """Read the settings from the environment (default: the process's) and a TOML file (default: `./omnilab.toml`).

    `make_master_key` makes a missing master key in development (file mode 0600; two processes racing get the same
    one). Without it `master_key` is None there. Raises SettingsError naming every problem.
    """
    reading = _Reading(os.environ if environ is None else environ, toml_path or Path("omnilab.toml"))
    return reading.settings(make_master_key=make_master_key)


class _Reading:
    """One pass over both sources; problems are gathered, not raised."""

    def __init__(self, environ: Mapping[str, str], toml_path: Path) -> None:
        self.problems: list[FieldError] = []
        self._raw: dict[str, tuple[str, str]] = {}  # field -> (name as the operator wrote it, text)
        self._read_toml(toml_path)
        self._read_environ(environ)

    def _read_toml(self, path: Path) -> None:
        for key, value in self._toml_content(path).items():
            if key not in KNOWN:
                self._report(f"{key} in {path}", "is no setting" + _nearest(key, KNOWN))
            elif isinstance(value, dict):
                self._report(f"{key} in {path}", "must be a text, a number, true, false or a list of texts")
            else:
                self._raw[key] = (f"{key} in {path}", _toml_text(value))

    def _toml_content(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            self._report(str(path), f"cannot be read ({type(error).__name__})")
        except tomllib.TOMLDecodeError as error:
            # The parser's words may quote the line, and with it a key.
            place = re.search(r"\(at .*\)$", str(error))
            self._report(str(path), f"is not TOML {place.group() if place else ''}".strip())
        return {}

    def _read_environ(self, environ: Mapping[str, str]) -> None:
        known = [PREFIX + name.upper() for name in KNOWN]
        for name, value in environ.items():
            if not name.startswith(PREFIX) or name in OTHERS_NAMES:
                continue
            if name not in known:
                self._report(name, "is no setting" + _nearest(name, known))
            elif value.strip():
                self._raw[name.removeprefix(PREFIX).lower()] = (name, value.strip())
                # Either form of the key in the environment replaces both forms of the file.
                if name.startswith(PREFIX + "MASTER_KEY"):
                    other = "master_key" if name.endswith("_FILE") else "master_key_file"
                    if not self._raw.get(other, ("", ""))[0].startswith(PREFIX):
                        self._raw.pop(other, None)

    def _report(self, name: str, detail: str) -> None:
        self.problems.append(FieldError(name, detail))

    def _name(self, key: str) -> str:
        return self._raw[key][0] if key in self._raw else PREFIX + key.upper()

    def _take(self, key: str, parse: Callable[[str], T], default: T) -> T:
        if key not in self._raw:
            return default
        name, text = self._raw[key]
        try:
            return parse(text)
        except ValueError as error:
            self._report(name, str(error))
            return default

    def settings(self, *, make_master_key: bool) -> Settings:
        environment = self._take("environment", values.one_of(values.ENVIRONMENTS), "development")
        development = environment == "development"
        read: dict[str, Any] = {"environment": environment}
        for name, parse in values.READERS.items():
            default = None if development and name in OFF_IN_DEVELOPMENT else getattr(_DEFAULTS, name)
            read[name] = self._take(name, parse, default)
        if read["docs_banner_url"] and not read["docs_banner_text"]:
            self._report(self._name("docs_banner_url"), f"needs a text: set {PREFIX}DOCS_BANNER_TEXT as well")
        read |= self._addresses(development)
        read |= self._database()
        if read["replica_url"] and str(read["database_url"]).startswith("sqlite:"):
            self._report(self._name("replica_url"), f"needs PostgreSQL: set {PREFIX}DATABASE_URL as well")
        read["master_key_path"] = self._master_key_path(development, read["data_directory"])
        read["master_key"] = self._master_key(development, read["data_directory"], make=make_master_key)
        if self.problems:
            raise SettingsError(self.problems)
        return Settings(**read)

    def _addresses(self, development: bool) -> dict[str, object]:
        given = "public_url" in self._raw
        public_url = self._take("public_url", values.origin, DEFAULT_PUBLIC_URL)
        if not development and not given:
            self._report(
                PREFIX + "PUBLIC_URL",
                "must be set outside development: the https URL of this service",
            )
        elif not development and public_url.startswith("http:"):
            self._report(
                self._name("public_url"),
                "must begin with https:// outside development: tokens and secrets would cross the network in the clear",
            )
        docs_url = self._take("docs_url", values.url, public_url + "/docs")
        return {
            "public_url": public_url,
            "public_url_given": given,
            "docs_url": docs_url,
        }

    def _database(self) -> dict[str, object]:
        default = f"sqlite:///{(DEFAULT_DIRECTORY / 'omnilab.db').as_posix()}"
        url = self._take("database_url", values.database_url, default)
        directory = DEFAULT_DIRECTORY
        if url.startswith("sqlite:"):
            directory = Path(unquote(url.removeprefix("sqlite:///").partition("?")[0])).parent
        return {"database_url": url, "data_directory": directory}

    def _master_key(self, development: bool, directory: Path, *, make: bool) -> Secret | None:
        if "master_key" in self._raw and "master_key_file" in self._raw:
            self._report(
                self._name("master_key"),
                f"and {self._name('master_key_file')} are both set: keep one",
            )
            return None
        if "master_key" in self._raw:
            return self._checked(self._name("master_key"), self._raw["master_key"][1])
        if "master_key_file" in self._raw:
            return self._key_from(self._name("master_key_file"), Path(self._raw["master_key_file"][1]))
        path = directory / master_key.FILE_NAME
        if development and path.exists():
            return self._key_from(str(path), path)
        if development and make and not self.problems:
            return self._made(path)
        if not development:
            self._report(
                PREFIX + "MASTER_KEY",
                f"or {PREFIX}MASTER_KEY_FILE must be set outside development: 32 bytes in base64 or hex,"
                " made for example by `openssl rand -base64 32`, and never kept in the database",
            )
        return None

    def _master_key_path(self, development: bool, directory: Path) -> Path | None:
        if "master_key_file" in self._raw:
            return Path(self._raw["master_key_file"][1]).absolute()
        if development and "master_key" not in self._raw:
            return (directory / master_key.FILE_NAME).absolute()
        return None

    def _checked(self, name: str, text: str) -> Secret | None:
        try:
            MasterKey.parse(text)
        except MasterKeyError:
            self._report(name, "must hold 32 bytes written in base64 or hex")
            return None
        return Secret(text.strip())

    def _key_from(self, name: str, path: Path) -> Secret | None:
        try:
            return self._checked(name, path.read_text("ascii"))
        except OSError as error:
            self._report(name, f"the file cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self._report(name, "the file must hold 32 bytes written in base64 or hex")
        return None

    def _made(self, path: Path) -> Secret | None:
        try:
            return master_key.make_master_key_file(path)
        except OSError as error:
            self._report(
                str(path),
                f"the development master key cannot be kept here: {error.strerror}",
            )
            return None


def _toml_text(value: object) -> str:
    """The text that the same value has in the environment."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
