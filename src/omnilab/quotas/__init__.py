"""Limits per client and tenant, and on failed authentications. See `omnilab.quotas.service`."""

from omnilab.quotas.failures import FloodSummary, Verdict
from omnilab.quotas.model import Quota, QuotaExceededError, QuotaKind, QuotaLimits, QuotaSubject, parse_quota
from omnilab.quotas.service import QuotaService

__all__ = [
    "FloodSummary",
    "Quota",
    "QuotaExceededError",
    "QuotaKind",
    "QuotaLimits",
    "QuotaService",
    "QuotaSubject",
    "Verdict",
    "parse_quota",
]
