"""Make a host that looks like a nova controller, with the paths of contrib/."""

import subprocess
from pathlib import Path

from cellmap_migrations.testing.process import Finished, Running

NOVA = 64060

# Overlays keep the machine as it is; they, and all that is written to them, are gone
# with the namespace.
PREPARE = """
set -eu
folder=$1 config=$2 cellmap=$3 uid=$4
mount -t tmpfs tmpfs "$folder"
for place in etc usr/bin var; do
    mkdir -p "$folder/$place/upper" "$folder/$place/work"
    mount -t overlay overlay -o \
        "lowerdir=/$place,upperdir=$folder/$place/upper,workdir=$folder/$place/work" \
        "/$place"
done
sed -i /^nova:/d /etc/passwd /etc/group
echo "nova:*:$uid:$uid::/var/lib/nova:/usr/sbin/nologin" >>/etc/passwd
echo "nova:x:$uid:" >>/etc/group
install -d -o "$uid" -g "$uid" /var/lib/nova
mkdir -p /etc/nova
install -m 640 -g "$uid" "$config" /etc/nova/nova.conf
ln -sf "$cellmap" /usr/bin/cellmap
echo ready
exec sleep infinity
"""


class Controller:
    """Run a mount namespace with a user nova, nova.conf and /usr/bin/cellmap.

    *config* is the nova.conf, *cellmap* the program, *folder* any empty one.
    """

    def __init__(self, folder: Path, config: Path, cellmap: Path) -> None:
        self.commands: list[Running] = []
        words = [*map(str, (folder, config, cellmap, NOVA))]
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", PREPARE, "sh", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            _, err = self.holder.communicate()
            message = f"no mount namespace here, which needs root and overlayfs: {err}"
            raise AssertionError(message)

    def start(self, *command: str, **env: str) -> Running:
        """Start a command on the host, in / and as root."""
        namespace = f"--mount=/proc/{self.holder.pid}/ns/mnt"
        running = Running(["nsenter", namespace, "--wd=/", *command], env=env)
        self.commands.append(running)
        return running

    def run(self, *command: str, **env: str) -> Finished:
        """Run a command on the host to its end."""
        return self.start(*command, **env).wait()

    def sh(self, script: str, *words: str) -> Finished:
        """Run a shell script on the host; *words* are its arguments."""
        return self.run("sh", "-ec", script, "sh", *words)

    def stand_in(self, code: int | str) -> None:
        """Replace cellmap on the host by a script that exits with *code*."""
        script = 'rm -f "$1"; printf "#!/bin/sh\\nexit $2\\n" >"$1"; chmod 755 "$1"'
        assert self.sh(script, "/usr/bin/cellmap", str(code)).code == 0

    def as_nova(self, *command: str) -> Finished:
        """Run a command on the host as its user nova."""
        return self.run("runuser", "-u", "nova", "--", *command)

    def close(self) -> None:
        """Remove the host, and all files that were written there."""
        for command in self.commands:
            command.close()
        self.holder.kill()
        self.holder.communicate()
