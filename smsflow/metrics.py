"""What Prometheus can ask. Labels are from closed sets: never a phone number."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["COERCIONS", "COMMITS", "FORGOTTEN", "LINK_BOUND", "RECEIPTS", "REGISTRY", "REPLIES", "TURN_S"]

REGISTRY = CollectorRegistry()

REPLIES = Counter(
    "smsflow_replies", "Texts that came in, by what they turned out to be.", ["outcome"], registry=REGISTRY
)
COERCIONS = Counter("smsflow_coercions", "Tolerance that replies needed, by name.", ["name"], registry=REGISTRY)
RECEIPTS = Counter("smsflow_receipts", "Delivery receipts, by state.", ["state"], registry=REGISTRY)
TURN_S = Histogram(
    "smsflow_turn_seconds",
    "From a reply's arrival to its commit.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
COMMITS = Counter("smsflow_commits", "Transactions that are on the disk.", registry=REGISTRY)
FORGOTTEN = Counter(
    "smsflow_forgotten", "Cases, and texts of no case, whose time was over.", ["what"], registry=REGISTRY
)
LINK_BOUND = Gauge("smsflow_link_bound", "1 while the session is bound.", ["link", "bind"], registry=REGISTRY)
