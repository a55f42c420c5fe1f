"""Runs the Python blocks of a README, one after the other, in the present folder."""

import re
import sys
from pathlib import Path

blocks = re.findall(r"```python\n(.*?)```", Path(sys.argv[1]).read_text("utf-8"), re.S)
if len(blocks) < 2:
    sys.exit(f"{sys.argv[1]}: expected Python blocks, found {len(blocks)}")
exec(compile("\n".join(blocks), sys.argv[1], "exec"), {"__name__": "__main__"})
