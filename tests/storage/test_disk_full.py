"""The disk under SQLite is full: callers get 503 with Retry-After, nothing is lost, and it goes on with room again."""

from __future__ import annotations

from pathlib import Path

from tests.harness import Credentials, Omnilab
from tests.harness.small_disk import small_disk


def test_a_full_disk_is_503_and_passes_by_itself(provisioned: tuple[Omnilab, Credentials]) -> None:
    template, client = provisioned
    with small_disk(24) as disk:
        place = disk.path / "installation"
        place.mkdir()
        omnilab = template.copied_to(place)
        with omnilab.serve() as server:
            token = server.token(client)
            disk.fill()
            refused = 0
            for _ in range(3000):  # until the space that the write-ahead log already has is used up
                answer = server.token_answer(client)
                assert answer.status_code in (200, 503), answer.text
                refused = refused + 1 if answer.status_code == 503 else 0
                if answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                    assert answer.json()["error"] == "temporarily_unavailable"
                if refused == 20:
                    break
            assert refused == 20
            assert server.cancel_booking(token, "contact-1", "bkg_00000001").status_code == 503
            assert server.http.get("/healthz").status_code == 200
            disk.empty()
            assert server.token_answer(client).status_code == 200
            assert server.cancel_booking(token, "contact-1", "bkg_00000001").status_code == 200
            assert server.cancel_booking(token, "contact-1", "bkg_00000001").status_code == 409
        assert omnilab.cli("db", "check")["intact"]
        assert omnilab.cli("audit", "verify")["intact"]
        assert Path(place).exists()
