"""What the text of a presented secret tells by itself: it needs no look-up, so a stranger may be told exactly."""

from __future__ import annotations

from omnilab.crypto.client_secret import TOTAL_WIDTH, Shape, read_shape, secret_environment
from omnilab.errors import TokenRefusedError
from omnilab.tokens.model.request import TokenRequest


def check_secret_text(request: TokenRequest, environment: str) -> None:
    """Raises TokenRefusedError for a secret of ours that is mistyped, cut off or another environment's.

    A text that does not begin `omni_` is an earlier system's, of which nothing is known.
    """
    text = request.presented[0].secret.reveal()
    shape = read_shape(text, environment)
    if shape is Shape.WELL_FORMED or shape is Shape.LEGACY:
        return
    if shape is Shape.OTHER_ENVIRONMENT:
        raise _wrong_environment(str(secret_environment(text)), environment)
    raise _cut_off(len(text)) if shape is Shape.CUT_OFF else _mistyped()


def _wrong_environment(named: str, environment: str) -> TokenRefusedError:
    return TokenRefusedError(
        "secret_wrong_environment",
        f"The client_secret belongs to {named} and this is {environment}; "
        "use this environment's credentials or the other one's base URL.",
        check="credential_text",
        expected=f"a secret of {environment}",
        found=f"a secret of {named}",
    )


def _cut_off(length: int) -> TokenRefusedError:
    return TokenRefusedError(
        "secret_cut_off",
        f"The client_secret is cut off: {length} of {TOTAL_WIDTH} characters arrived; copy the whole secret again.",
        check="credential_text",
        expected=f"a secret of {TOTAL_WIDTH} characters",
        found=f"{length} characters",
    )


def _mistyped() -> TokenRefusedError:
    return TokenRefusedError(
        "secret_mistyped",
        "The client_secret is mistyped: its checksum does not fit its text; copy it again, no quotes or line breaks.",
        check="credential_text",
        expected="a secret whose checksum fits its text",
        found="a checksum that does not fit",
    )
