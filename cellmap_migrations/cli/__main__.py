"""``python -m cellmap_migrations.cli`` is ``cellmap``."""

import sys

from cellmap_migrations.cli.main import main

sys.exit(main())
