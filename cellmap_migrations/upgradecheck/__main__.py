"""``python -m cellmap_migrations.upgradecheck`` is ``cellmap-status``."""

import sys

from cellmap_migrations.upgradecheck.main import main

sys.exit(main())
