"""Reads an HdrHistogram interval log with the HdrHistogram project's own library and prints what is in it as JSON."""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

LOWEST, HIGHEST, DIGITS = 1_000, 7 * 24 * 3600 * 1_000_000_000, 3

reference = HdrHistogram(LOWEST, HIGHEST, DIGITS)
reader = HistogramLogReader(sys.argv[1], reference)
tags, intervals = {}, 0
while (interval := reader.get_next_interval_histogram()) is not None:
    intervals += 1
    tags.setdefault(interval.get_tag(), HdrHistogram(LOWEST, HIGHEST, DIGITS)).add(interval)


def told(histogram):
    quantiles = {"p50_ns": 50, "p90_ns": 90, "p99_ns": 99, "p999_ns": 99.9}
    values = {name: histogram.get_value_at_percentile(percent) for name, percent in quantiles.items()}
    return {"count": histogram.get_total_count(), **values}


print(json.dumps({"intervals": intervals, "tags": {tag: told(of) for tag, of in tags.items()}}))
