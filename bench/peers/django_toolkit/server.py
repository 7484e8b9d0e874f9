"""django-oauth-toolkit at its defaults on SQLite: PBKDF2-hashed client secrets, opaque tokens, a row a token.

Run by gunicorn, one sync worker (its default).
"""

from __future__ import annotations

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DIRECTORY"] + "/django.db"}
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="bench",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402
from oauth2_provider.views import TokenView  # noqa: E402

urlpatterns = [path("token", TokenView.as_view())]
app = get_wsgi_application()


def prepare() -> None:
    """Make the schema and the clients; their secrets are hashed on saving, which takes a while each."""
    call_command("migrate", verbosity=0)
    application_model = get_application_model()
    for n in range(int(os.environ["BENCH_CLIENTS"])):
        application_model.objects.create(
            name=f"client-{n}",
            client_id=f"client-{n}",
            client_secret=f"secret-of-client-{n}-0123456789abcdefghijklmnopqrstuvwxyz",
            client_type="confidential",
            authorization_grant_type="client-credentials",
        )


if __name__ == "__main__":
    prepare()
