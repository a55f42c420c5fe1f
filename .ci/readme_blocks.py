"""Runs the Python blocks of a README, one after the other, in the present folder.

What they print is shown if one of them fails; it is long otherwise (equations, LaTeX).
"""

import contextlib
import io
import re
import sys
from pathlib import Path

blocks = re.findall(r"```python\n(.*?)```", Path(sys.argv[1]).read_text("utf-8"), re.S)
if len(blocks) < 2:
    sys.exit(f"{sys.argv[1]}: expected Python blocks, found {len(blocks)}")
printed = io.StringIO()
try:
    with contextlib.redirect_stdout(printed):
        exec(compile("\n".join(blocks), sys.argv[1], "exec"), {"__name__": "__main__"})
except BaseException:
    sys.stdout.write(printed.getvalue())
    raise
print(f"{len(blocks)} blocks, {len(printed.getvalue().splitlines())} lines printed")
