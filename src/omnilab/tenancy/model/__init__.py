"""Tenancy's nouns and rules, pure: a file per kind."""
