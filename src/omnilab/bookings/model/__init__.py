"""The nouns and rules of bookings. Pure: no database, no clock, no randomness, no HTTP."""
