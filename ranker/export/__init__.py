"""Batch exports: shards that survive a kill, with a manifest that proves them whole."""

from ranker.export.run import ExportResult, export_recommendations
from ranker.export.verify import read_export, verify_export

__all__ = ["ExportResult", "export_recommendations", "read_export", "verify_export"]
