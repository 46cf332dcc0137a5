"""The options that make a run pause between two batches. Durations are seconds."""

from __future__ import annotations

from oslo_config import cfg

THROTTLE = [
    cfg.FloatOpt(
        "max_lag",
        min=0,
        help="Pause between two batches while one of the replicas is more than so many "
        "seconds behind the API database.",
    ),
    cfg.ListOpt(
        "replicas",
        default=[],
        help="The replicas of the API database that max_lag is about. MariaDB and "
        "MySQL: host or host:port of each; the user of [api_database] connection logs "
        "in there. PostgreSQL: the application_name of each in pg_stat_replication.",
    ),
    cfg.IntOpt(
        "max_threads_running",
        min=1,
        help="Pause between two batches while more sessions than this are at work on "
        "the server of the API database.",
    ),
    cfg.FloatOpt(
        "sleep_ratio",
        default=0,
        min=0,
        max=100,
        help="Between two batches, sleep this many times as long as the last one "
        "took. Batches are then written one at a time.",
    ),
    cfg.StrOpt(
        "pause_file",
        help="Pause between two batches while this file is there; an absolute path.",
    ),
    cfg.FloatOpt(
        "max_pause",
        default=3600,
        min=0,
        help="End the run (exit code 75) when one pause has taken this many seconds. "
        "What cannot be measured is a reason for a pause, too.",
    ),
]
