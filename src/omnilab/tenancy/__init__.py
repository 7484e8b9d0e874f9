"""Tenants and all that belongs to them: clients, secrets, audiences, entitlements, endpoint grants."""
