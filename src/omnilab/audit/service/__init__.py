"""The verbs of the audit."""

from omnilab.audit.service.audit import AuditService

__all__ = ["AuditService"]
