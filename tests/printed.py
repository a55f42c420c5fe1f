"""A whole model as Pyomo prints it, to be compared before and after."""

import io


def printed(model):
    """What ``pprint`` says of the model, and verbosely of each of its blocks."""
    out = io.StringIO()
    model.pprint(ostream=out)
    for block in model.block_data_objects():
        block.pprint(ostream=out, verbose=True)
    return out.getvalue()
