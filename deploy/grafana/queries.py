"""PromQL for more than one panel. `AT` limits every metric to the chosen station."""

from __future__ import annotations

E = "edge_inspector_"
AT = 'instance="$instance"'
RATE = "[$__rate_interval]"


def share(decision: str, window: str) -> str:
    """The share of this decision among the parts of a window."""
    all_parts = f"increase({E}parts_processed_total{{{AT}}}[{window}])"
    some = f'increase({E}parts_processed_total{{{AT}, decision="{decision}"}}[{window}])'
    return f"sum({some}) / sum({all_parts})"


def spread(metric: str, label: str = "") -> list[tuple[str, str]]:
    """The median and 99 % of a histogram, one line for each value of `label`."""
    prefix = f"{{{{{label}}}}} " if label else ""
    return [(quantile(q, metric, label), prefix + name) for q, name in ((0.5, "middle"), (0.99, "99 %"))]


def quantile(q: float, metric: str, label: str = "") -> str:
    """A quantile of a histogram."""
    by = f"{label}, le" if label else "le"
    return f"histogram_quantile({q}, sum by ({by}) (rate({E}{metric}_bucket{{{AT}}}{RATE})))"
