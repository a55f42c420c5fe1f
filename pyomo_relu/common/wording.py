"""Words of messages and reports: counted nouns, and the name that was meant."""

import difflib

_ENDINGS = {"matrix": "matrices", "y": "ies", "x": "xes", "s": "ses", "": "s"}


def counted(number, noun):
    """``1 row``, ``2 rows``, ``0 binaries``, ``3 boxes``, ``4 matrices``."""
    if number == 1:
        return f"1 {noun}"
    end = next(end for end in _ENDINGS if noun.endswith(end))
    return f"{number} {noun[: len(noun) - len(end)]}{_ENDINGS[end]}"


def meant(name, names):
    """`` Did you mean 'x'?`` if one of ``names`` is close to ``name``, else ""."""
    folded = {str(n).lower(): n for n in names}
    found = difflib.get_close_matches(str(name).lower(), folded, n=1)
    return f" Did you mean '{folded[found[0]]}'?" if found else ""
