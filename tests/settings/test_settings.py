"""The settings: what they default to, which problems they name, and what they never say."""

from __future__ import annotations

import base64
import dataclasses
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from omnilab.settings import Settings, SettingsError, load_settings
from omnilab.settings.master_key import make_master_key_file

KEY = base64.b64encode(bytes(range(32))).decode()
PRODUCTION = {
    "OMNILAB_ENVIRONMENT": "production",
    "OMNILAB_PUBLIC_URL": "https://m2m.example.com",
    "OMNILAB_MASTER_KEY": KEY,
}
NOWHERE = Path("/nonexistent/omnilab.toml")


def load(environ: dict[str, str], toml: Path = NOWHERE) -> Settings:
    return load_settings(environ, toml)


def problems(environ: dict[str, str], toml: Path = NOWHERE) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, toml)
    return {each.field: each.detail for each in caught.value.errors}


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_development_needs_nothing_and_has_no_bounds(in_directory: Path) -> None:
    settings = load({})
    assert settings.environment == "development"
    assert settings.database_url == "sqlite:///.omnilab/omnilab.db"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert not settings.public_url_given
    assert settings.docs_url == "http://127.0.0.1:8080/docs"
    assert settings.client_token_quota is None
    assert settings.failed_authentications_per_client_per_minute is None
    assert settings.master_key is None
    assert list(in_directory.iterdir()) == []


def test_production_has_the_contracts_bounds() -> None:
    settings = load(PRODUCTION)
    assert (settings.client_token_quota, settings.client_api_quota) == ("120/minute", "1200/minute")
    assert (settings.tenant_token_quota, settings.tenant_api_quota) == ("1200/minute", "12000/minute")
    assert settings.failed_authentications_per_client_per_minute == 20
    assert settings.failed_authentications_per_address_per_minute == 200


def test_bounds_can_be_set_and_taken_off() -> None:
    settings = load({"OMNILAB_CLIENT_TOKEN_QUOTA": "600/minute"})
    assert settings.client_token_quota == "600/minute"
    settings = load(PRODUCTION | {"OMNILAB_TENANT_API_QUOTA": "off", "OMNILAB_METRICS_PORT": "9100"})
    assert settings.tenant_api_quota is None
    assert settings.metrics_port == 9100


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load({}).environment = "production"  # type: ignore[misc]


def test_every_setting_is_documented() -> None:
    source = Path(__file__).parents[2] / "src/omnilab/settings/tree.py"
    lines = [line.strip() for line in source.read_text().splitlines()]
    for each in dataclasses.fields(Settings):
        at = next(number for number, line in enumerate(lines) if line.startswith(f"{each.name}: "))
        assert lines[at + 1].startswith('"""'), each.name


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        {
            "OMNILAB_ENVIRONMENT": "production",
            "OMNILAB_PUBLIC_URL": "http://m2m.example.com",
            "OMNILAB_TRUSTED_PROXIES": "10.0.0.1/8",
            "OMNILAB_CLIENT_TOKEN_QUOTA": "lots",
            "OMNILAB_TENANT_DOMAINE": "example.com",
        }
    )
    assert set(found) == {
        "OMNILAB_PUBLIC_URL",
        "OMNILAB_TRUSTED_PROXIES",
        "OMNILAB_CLIENT_TOKEN_QUOTA",
        "OMNILAB_TENANT_DOMAINE",
        "OMNILAB_MASTER_KEY",
    }
    assert "OMNILAB_TENANT_DOMAIN?" in found["OMNILAB_TENANT_DOMAINE"]
    assert "https://" in found["OMNILAB_PUBLIC_URL"]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_outside_development_key_and_https_are_required_in_words(environment: str) -> None:
    found = problems({"OMNILAB_ENVIRONMENT": environment})
    assert "32 bytes" in found["OMNILAB_MASTER_KEY"]
    assert "https URL" in found["OMNILAB_PUBLIC_URL"]


def test_an_unknown_environment_is_no_development() -> None:
    assert "one of development, staging, production" in problems({"OMNILAB_ENVIRONMENT": "prod"})["OMNILAB_ENVIRONMENT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "https://example.com/path"),
        ("PUBLIC_URL", "https://user@example.com"),
        ("PUBLIC_URL", "https://example.com:99999"),
        ("PUBLIC_URL", "ftp://example.com"),
        ("DOCS_URL", "docs"),
        ("TENANT_DOMAIN", "https://example.com"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("SNAPSHOT_MAX_CLIENTS", "many"),
        ("METRICS_PORT", "70000"),
        ("METRICS_HOST", "localhost"),
        ("LOG_LEVEL", "loud"),
        ("DRAIN_SECONDS", "0"),
        ("API_QUOTA", "1/minute"),
        ("DOCS_BANNER_TEXT", "x" * 301),
        ("DOCS_BANNER_TEXT", "two\nlines"),
        ("DOCS_BANNER_URL", "https://status.example.com"),  # without a text
        ("STATUS_PAGE_URL", "javascript:alert(1)"),
        ("SECURITY_CONTACT", "security@example.com"),
        ("SECURITY_CONTACT", "mailto:a@example.com\nContact: mailto:b@example.net"),
        ("SECURITY_CONTACT", "http://example.com/security"),
        ("TRACES_URL", "http://user:password@collector.example.com"),
        ("TRACES_URL", "collector.example.com:4317"),
        ("TRACES_RATIO", "1.5"),
        ("TRACES_RATIO", "5%"),
        ("TRACES_RATIO", "off"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    assert list(problems({f"OMNILAB_{name}": value})) == [f"OMNILAB_{name}"]


def test_traces_are_off_unless_asked_for_and_then_a_share(tmp_path: Path) -> None:
    assert (load({}).traces_url, load({}).traces_ratio) == (None, 0.05)
    toml = tmp_path / "omnilab.toml"
    toml.write_text('traces_url = "http://127.0.0.1:4318/"\ntraces_ratio = 0.2\n')
    assert (load({}, toml).traces_url, load({}, toml).traces_ratio) == ("http://127.0.0.1:4318", 0.2)
    assert load({"OMNILAB_TRACES_URL": "off", "OMNILAB_TRACES_RATIO": "1"}, toml).traces_url is None


def test_a_banner_that_is_off_leads_nowhere() -> None:
    leads = {"OMNILAB_DOCS_BANNER_URL": "https://status.example.com"}
    assert list(problems(leads | {"OMNILAB_DOCS_BANNER_TEXT": "off"})) == ["OMNILAB_DOCS_BANNER_URL"]
    assert load(leads | {"OMNILAB_DOCS_BANNER_TEXT": "Maintenance"}).docs_banner_text == "Maintenance"


def test_names_of_the_sdk_and_of_the_command_line_are_not_ours() -> None:
    names = ("CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "AUDIENCE", "BASE_URL", "OPERATOR", "TICKET")
    assert load({f"OMNILAB_{name}": "x" for name in names} | {"OTHER": "y"}).environment == "development"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    toml = tmp_path / "omnilab.toml"
    toml.write_text(
        'public_url = "https://file.example.com/"\ntenant_domain = "Example.com"\n'
        'trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]\nsnapshot_max_clients = 7\n'
    )
    settings = load({"OMNILAB_PUBLIC_URL": "https://env.example.com"}, toml)
    assert settings.public_url == "https://env.example.com"
    assert settings.tenant_domain == "example.com"
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert settings.snapshot_max_clients == 7


def test_unknown_and_unusable_keys_of_the_file_are_named(tmp_path: Path) -> None:
    toml = tmp_path / "omnilab.toml"
    toml.write_text("enviroment = 'staging'\nlog_level = true\n[omnilab]\nx = 1\n")
    found = problems({}, toml)
    assert "did you mean environment?" in found[f"enviroment in {toml}"]
    assert f"log_level in {toml}" in found
    assert f"omnilab in {toml}" in found


def test_a_file_that_is_no_toml_is_not_quoted(tmp_path: Path) -> None:
    toml = tmp_path / "omnilab.toml"
    toml.write_text(f"master_key = {KEY}")
    [detail] = problems({}, toml).values()
    assert detail.startswith("is not TOML")
    assert KEY[:8] not in detail


@pytest.mark.parametrize("text", [KEY, bytes(range(32)).hex(), KEY.rstrip("="), KEY + "\n"])
def test_the_master_key_is_base64_or_hex(text: str) -> None:
    settings = load({"OMNILAB_MASTER_KEY": text})
    assert settings.master_key is not None
    assert settings.master_key.reveal() == text.strip()


@pytest.mark.parametrize("text", ["short", KEY + "AAAA", "é" * 32, bytes(16).hex()])
def test_a_bad_master_key_is_refused_without_quoting_it(text: str) -> None:
    found = problems(PRODUCTION | {"OMNILAB_MASTER_KEY": text})
    assert "32 bytes" in found["OMNILAB_MASTER_KEY"]
    assert text not in str(found)


def test_the_master_key_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    environ = {name: value for name, value in PRODUCTION.items() if name != "OMNILAB_MASTER_KEY"}
    settings = load(environ | {"OMNILAB_MASTER_KEY_FILE": str(path)})
    assert settings.master_key is not None
    assert settings.master_key.reveal() == KEY
    assert (
        "cannot be read" in problems(environ | {"OMNILAB_MASTER_KEY_FILE": str(path) + "x"})["OMNILAB_MASTER_KEY_FILE"]
    )


def test_two_sources_of_the_master_key_are_refused_but_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    assert problems(PRODUCTION | {"OMNILAB_MASTER_KEY_FILE": str(path)})
    toml = tmp_path / "omnilab.toml"
    toml.write_text(f'master_key = "{"00" * 32}"\n')
    settings = load({"OMNILAB_MASTER_KEY_FILE": str(path)}, toml)
    assert settings.master_key is not None
    assert settings.master_key.reveal() == KEY


def test_no_secret_is_printed() -> None:
    assert KEY[:8] not in repr(load(PRODUCTION))
    found = problems({"OMNILAB_DATABASE_URL": "mysql://omnilab:pa55word@db/omnilab"})
    assert "sqlite:///" in found["OMNILAB_DATABASE_URL"]
    assert "pa55word" not in str(found)
    assert "pa55word" not in repr(load({"OMNILAB_DATABASE_URL": "postgresql://omnilab:pa55word@db/omnilab"}))


def test_a_development_key_is_made_once_beside_the_database(tmp_path: Path) -> None:
    environ = {"OMNILAB_DATABASE_URL": f"sqlite:///{tmp_path}/deep/omnilab.db"}
    made = load_settings(environ, NOWHERE, make_master_key=True).master_key
    path = tmp_path / "deep/master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made is not None
    assert load_settings(environ, NOWHERE, make_master_key=True).master_key == made
    assert load(environ).master_key == made
    assert [each.name for each in path.parent.iterdir()] == ["master.key"]


def test_no_key_is_made_where_something_else_is_wrong(tmp_path: Path) -> None:
    environ = {"OMNILAB_DATABASE_URL": f"sqlite:///{tmp_path}/omnilab.db", "OMNILAB_LOG_LEVEL": "loud"}
    with pytest.raises(SettingsError):
        load_settings(environ, NOWHERE, make_master_key=True)
    assert list(tmp_path.iterdir()) == []


def _make(path: Path, barrier: multiprocessing.synchronize.Barrier, found: multiprocessing.Queue[str]) -> None:
    barrier.wait()
    found.put(make_master_key_file(path).reveal())


def test_processes_that_race_get_the_same_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, found = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_make, args=(tmp_path / "master.key", barrier, found)) for _ in range(4)]
    for each in processes:
        each.start()
    keys = {found.get(timeout=20) for _ in processes}
    for each in processes:
        each.join()
    assert len(keys) == 1
    assert os.listdir(tmp_path) == ["master.key"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"OMNILAB_DATABASE_URL": f"sqlite:///{tmp_path}/file/omnilab.db"}
    with pytest.raises(SettingsError, match="cannot be kept here"):
        load_settings(environ, NOWHERE, make_master_key=True)
