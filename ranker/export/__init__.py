"""Batch exports: shards that survive a kill, with a manifest that proves them whole.

In the order in which to read them:

``run``
    The export: agree on a plan, find what is finished, make the rest, seal it.
``users``, ``shards``, ``make``, ``lists``
    Whose lists; which users make a shard; a shard from its users to its file; what a list must be.
``formats``, ``manifest``, ``files``
    Kinds of shards; the JSON beside them; files that are there whole or not at all.
``memory``, ``ray``
    How many users at a time; the same by many machines.
``verify``
    Reading an export, and proving that it is whole.
``publish``, ``published``, ``to_postgres``, ``to_redis``, ``to_delta``
    From a finished export to the stores that lists are served from.
"""

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
