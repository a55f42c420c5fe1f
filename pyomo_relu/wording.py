"""Words of messages and reports: counted nouns, and the name that was meant."""

import difflib


def counted(number, noun, plural=None):
    """``1 row``, ``2 rows``, ``0 binaries``; ``plural`` where it is not noun + "s"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def meant(name, names):
    """`` Did you mean 'x'?`` if one of ``names`` is close to ``name``, else ""."""
    folded = {str(n).lower(): n for n in names}
    found = difflib.get_close_matches(str(name).lower(), folded, n=1)
    return f" Did you mean '{folded[found[0]]}'?" if found else ""
