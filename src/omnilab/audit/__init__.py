"""The durable record of every decision: who asked, what was decided and why, chained so that tampering shows."""
