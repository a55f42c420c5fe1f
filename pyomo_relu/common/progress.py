"""Progress bars for long work, shown only when asked for."""

import contextlib
import warnings


@contextlib.contextmanager
def progress_bars(wanted, prefix=""):
    """A callable ``progress(method, layer, done, total)`` that drives tqdm bars.

    Parameters
    ----------
    wanted : bool
        If False the callable is None and nothing is printed.
    prefix : str
        What the bars are about, for example a block's name.
    """
    if not wanted:
        yield None
        return
    bars = {}

    def progress(method, layer, done, total):
        where = "inputs" if layer < 0 else f"layer {layer}"
        label = f"{prefix} {method} {where}".strip()
        if label not in bars:
            for bar in bars.values():
                bar.close()
            bars[label] = _bar(total=total, desc=label, leave=False)
        bar = bars[label]
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()


@contextlib.contextmanager
def counting_bar(wanted, label, unit, total=None):
    """A callable that counts one more ``unit`` and shows the values it is given.

    Parameters
    ----------
    wanted : bool
        If False the callable does nothing.
    label, unit : str
    total : int, optional
        How many there will be.
    """
    if not wanted:
        yield lambda **values: None
        return
    bar = _bar(desc=label, unit=f" {unit}", total=total)

    def count(**values):
        bar.set_postfix(refresh=False, **values)
        bar.update()

    try:
        yield count
    finally:
        bar.close()


def _bar(**options):
    with warnings.catch_warnings():
        # without ipywidgets a notebook gets a bar of text, which is no reason to warn
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    return tqdm(**options)
