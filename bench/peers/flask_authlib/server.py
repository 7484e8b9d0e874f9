"""Authlib's authorization server on Flask and SQLite, as its documentation builds it: a row a token.

Access tokens are RFC 9068 JWTs signed ES256, like ours. Run by gunicorn, one sync worker (its default).
"""

from __future__ import annotations

import os
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
from joserfc.jwk import ECKey

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{os.environ['BENCH_DIRECTORY']}/flask.db"
db = SQLAlchemy(app)
key = ECKey.generate_key("P-256", {"kid": "bench", "alg": "ES256", "use": "sig"})


class Client(db.Model, OAuth2ClientMixin):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")


class Token(db.Model, OAuth2TokenMixin):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer)


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class Tokens(JWTBearerTokenGenerator):
    def get_jwks(self) -> dict[str, object]:
        return {"keys": [key.as_dict(private=True)]}

    def get_audiences(self, client: object, user: object, scope: str) -> str:
        return "urn:bench:api"


server = AuthorizationServer(
    app, query_client=create_query_client_func(db.session, Client), save_token=create_save_token_func(db.session, Token)
)
server.register_grant(ClientCredentials)
server.register_token_generator("client_credentials", Tokens(issuer="https://bench.example", alg="ES256"))


@app.post("/token")
def token() -> Response:
    return server.create_token_response()  # type: ignore[no-any-return]


with app.app_context():
    db.create_all()
    if not db.session.query(Client).first():
        for n in range(int(os.environ["BENCH_CLIENTS"])):
            client = Client(client_id=f"client-{n}", client_id_issued_at=int(time.time()))
            client.client_secret = f"secret-of-client-{n}-0123456789abcdefghijklmnopqrstuvwxyz"
            client.set_client_metadata({"grant_types": ["client_credentials"], "scope": "bookings:read"})
            db.session.add(client)
        db.session.commit()
