"""The verbs of the audit."""

from omnilab.audit.service.audit import AuditService
from omnilab.audit.service.inquiry import RecordQuery

__all__ = ["AuditService", "RecordQuery"]
