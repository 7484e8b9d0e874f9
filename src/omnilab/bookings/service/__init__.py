"""The verbs of bookings: the calls of the API, and the import of files."""

from omnilab.bookings.service.calls import BookingService, CallOrigin, CancelOrder, CreateOrder, Repeat
from omnilab.bookings.service.erasure import ContactErasure, ErasureOrder
from omnilab.bookings.service.import_files import FileRow, ImportFile
from omnilab.bookings.service.importing import BookingImporter, ImportResult, ImportTarget, Rejected

__all__ = [
    "BookingImporter",
    "BookingService",
    "CallOrigin",
    "ContactErasure",
    "ErasureOrder",
    "CancelOrder",
    "CreateOrder",
    "FileRow",
    "ImportFile",
    "ImportResult",
    "ImportTarget",
    "Rejected",
    "Repeat",
]
