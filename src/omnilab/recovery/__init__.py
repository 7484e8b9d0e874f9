"""After a restore: nothing that was taken back since the backup may come to life again."""

from omnilab.recovery.reconciliation import Reconciliation

__all__ = ["Reconciliation"]
