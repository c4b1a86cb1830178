"""`python -m v6flow` is `v6flow`."""

from __future__ import annotations

import sys

from v6flow.cli.main import main

sys.exit(main())
