"""`python -m numlstm`: the command, where its folder is not on the PATH."""

import sys

from numlstm.cli import main

sys.exit(main())
