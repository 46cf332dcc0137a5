"""Run Prometheus, and a node_exporter that reads the files of a folder."""

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cellmap_migrations.testing.process import Finished
from cellmap_migrations.testing.servers.base import HOST
from cellmap_migrations.testing.servers.daemon import find, free_port
from tests.harness.front import Front

# That of Debian's packages.
ACCOUNT = "prometheus"

CONFIG = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [{rules}]
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["{host}:{port}"]
"""


def promtool(*arguments: str, given: str = "") -> Finished:
    """Run promtool with *given* on its stdin."""
    program = find("promtool", package="prometheus")
    done = subprocess.run(
        [program, *arguments], input=given, capture_output=True, text=True, check=False
    )
    return Finished(code=done.returncode, out=done.stdout, err=done.stderr)


class NodeExporter(Front):
    """Serve the metrics of the files in *metrics*; its own files are in *folder*."""

    def __init__(self, folder: Path, metrics: Path) -> None:
        port = free_port()
        package = "prometheus-node-exporter"
        command = [
            find(package, package=package),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={metrics}",
            f"--web.listen-address={HOST}:{port}",
        ]
        super().__init__(command, folder, port, account=ACCOUNT)


class Prometheus(Front):
    """Scrape the node_exporter at *port* every second, and evaluate *rules*."""

    def __init__(self, folder: Path, port: int, rules: Path) -> None:
        own_port, config = free_port(), folder / "prometheus.yml"
        copy = shutil.copy(rules, folder)
        config.write_text(CONFIG.format(rules=copy, host=HOST, port=port))
        command = [
            find("prometheus", package="prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{own_port}",
        ]
        super().__init__(command, folder, own_port, account=ACCOUNT)

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer of the API, or None before it serves."""
        with closing(http.client.HTTPConnection(HOST, self.port)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
            answer = connection.getresponse()
            found = answer.read()
        return json.loads(found)["data"] if answer.status == 200 else None

    def values(self, query: str) -> list[float]:
        """Return the values of the series of a query."""
        found = self.get("query", query=query) or {"result": []}
        return [float(series["value"][1]) for series in found["result"]]

    def firing(self, alert: str) -> list[dict[str, Any]]:
        """Return the alerts of this name that fire now."""
        found = self.get("alerts") or {"alerts": []}
        return [
            each
            for each in found["alerts"]
            if each["state"] == "firing" and each["labels"]["alertname"] == alert
        ]


@contextmanager
def watching(folder: Path, metrics: Path, rules: Path) -> Iterator[Prometheus]:
    """Yield a Prometheus that watches the files in *metrics* by *rules*."""
    for name in ("exporter", "prometheus"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        exporter = NodeExporter(folder / "exporter", metrics)
        stack.callback(exporter.close)
        prometheus = Prometheus(folder / "prometheus", exporter.port, rules)
        stack.callback(prometheus.close)
        yield prometheus
