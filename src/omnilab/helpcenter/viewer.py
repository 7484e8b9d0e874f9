"""The script of the API reference viewer, somebody else's work that we serve ourselves (see `viewer/README.md`).

Promises the smallest form that a caller takes. Its address carries no version, so it is cached by its tag.
"""

from __future__ import annotations

import gzip
from collections.abc import Set as AbstractSet
from importlib.resources import files

from starlette.responses import Response

SHA256 = "6bb3f4f29b0d740f1fc0970cd4245e01d2c1346df5a26ecd20a2f7a5dda5f837"
_FORMS = {"br": "br", "gzip": "gz"}
_ROOM = files("omnilab.helpcenter") / "viewer"


def viewer_script(accepted: AbstractSet[str], known_tag: str | None) -> Response:
    """The script. accepted: content codings of the caller; known_tag: the ETag that it holds."""
    coding = next((each for each in _FORMS if each in accepted), None)
    tag = f'"{SHA256[:32]}-{coding or "identity"}"'
    headers = {"Cache-Control": "public, max-age=300", "ETag": tag, "Vary": "Accept-Encoding"}
    if known_tag == tag:
        return Response(status_code=304, headers=headers)
    if coding is not None:
        headers["Content-Encoding"] = coding
    return Response(_script(coding), media_type="text/javascript", headers=headers)


def _script(coding: str | None) -> bytes:
    stored = (_ROOM / f"openapi-explorer.js.{_FORMS[coding or 'gzip']}").read_bytes()
    return stored if coding else gzip.decompress(stored)
