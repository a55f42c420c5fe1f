"""Asking once what takes a reading of the whole model."""

import contextvars

#: {(id of who asks, *arguments): (who asks, answer)} while a model is read only once.
_ANSWERS = contextvars.ContextVar("answers", default=None)


class model_read_once:
    """Within this the modeller's rows stay as they are, so one check is enough.

    Many blocks may share the same conditions, each of which means reading the model.
    Encoding and tightening in here is fine: it leaves the modeller's rows alone and
    makes Var bounds tighter only.  What widens Var bounds must ``read_again()``.
    """

    def __enter__(self):
        self._token = _ANSWERS.set({}) if _ANSWERS.get() is None else None

    def __exit__(self, *_):
        if self._token is not None:
            _ANSWERS.reset(self._token)


def read_again():
    """Forget what was read within ``model_read_once``: Var bounds were widened."""
    answers = _ANSWERS.get()
    if answers is not None:
        answers.clear()


def answer_once(asking, question, *arguments):
    """``question(*arguments)``, asked once per ``model_read_once``; each time outside.

    Parameters
    ----------
    asking : object
        Whose question it is.
    question : callable
    *arguments : hashable
    """
    answers = _ANSWERS.get()
    if answers is None:
        return question(*arguments)
    key = id(asking), *arguments
    if key not in answers:
        answers[key] = asking, question(*arguments)
    return answers[key][1]
