"""HOUSE: deciding and issuing access tokens; signing keys; metadata and JWKS."""
