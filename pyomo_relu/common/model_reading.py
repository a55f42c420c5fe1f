"""Asking once what takes a reading of the whole model, or what many blocks share."""


class ModelReading:
    """Answers about a model whose rows stay as they are, each asked for once.

    Made at the start of a call and handed down: many blocks may share the same
    conditions, each of which means reading the model.  Encoding and tightening leave
    the modeller's rows alone and make Var bounds tighter only, so answers stay right;
    what widens Var bounds must ``forget()`` them.
    """

    def __init__(self):
        self._answers = {}
        self._computed = {}

    def answer(self, asking, question, *arguments):
        """``question(*arguments)``, asked once.

        Parameters
        ----------
        asking : object
            Whose question it is.
        question : callable
        *arguments : hashable
        """
        key = id(asking), *arguments
        if key not in self._answers:  # ``asking`` is kept, so that its id stays its own
            self._answers[key] = asking, question(*arguments)
        return self._answers[key][1]

    def computed(self, key, compute):
        """``compute()``, once per key: what the key alone decides, so never forgotten.

        Parameters
        ----------
        key : hashable
        compute : callable
        """
        if key not in self._computed:
            self._computed[key] = compute()
        return self._computed[key]

    def forget(self):
        """Ask again: Var bounds were widened."""
        self._answers.clear()
