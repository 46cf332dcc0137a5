"""``cellmap-status upgrade check``, built on oslo.upgradecheck."""
