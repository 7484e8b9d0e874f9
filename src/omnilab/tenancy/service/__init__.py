"""The verbs of tenancy, a file per noun, held together by `TenancyService`."""

from __future__ import annotations

from omnilab.tenancy.service.tenancy import TenancyService

__all__ = ["TenancyService"]
