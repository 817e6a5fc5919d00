"""Batch exports: shards that survive a kill, with a manifest that proves them whole."""

from ranker.export.publish import publish_export
from ranker.export.published import PublishResult
from ranker.export.run import ExportResult, export_recommendations
from ranker.export.to_delta import publish_to_delta
from ranker.export.to_postgres import publish_to_postgres
from ranker.export.to_redis import publish_to_redis
from ranker.export.verify import read_export, verify_export

__all__ = [
    "ExportResult",
    "PublishResult",
    "export_recommendations",
    "publish_export",
    "publish_to_delta",
    "publish_to_postgres",
    "publish_to_redis",
    "read_export",
    "verify_export",
]
