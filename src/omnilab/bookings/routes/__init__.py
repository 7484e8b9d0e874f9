"""HTTP in and out of the Booking API; nothing is decided here."""

from omnilab.bookings.routes.calls import booking_operations

__all__ = ["booking_operations"]
