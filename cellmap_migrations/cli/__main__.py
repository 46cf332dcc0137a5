"""Run ``cellmap`` as ``python -m cellmap_migrations.cli``."""

import sys

from cellmap_migrations.cli.main import main

sys.exit(main())
