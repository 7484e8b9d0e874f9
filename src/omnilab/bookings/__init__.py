"""Bookings of one tenant's contacts, and the slots that hold their places: the first protected API."""
