"""The service. Its first act is to let the workers of a server count together, before any metric is made."""

from app.workers import share_metrics

share_metrics()
