"""A MILP's claim that there is no point, believed once another run says so, too."""

from dataclasses import replace

from pyomo_relu.linear.sessions.answer import Status


def confirmed(solve, settings):
    """Solve a MILP; where it comes out infeasible, once more without presolve.

    Presolve has called models infeasible whose columns have almost no room.

    Parameters
    ----------
    solve : callable
        ``solve(settings)``, an Answer.
    settings : Settings

    Returns
    -------
    Answer
        Infeasible only if both runs say so, or the first one did without presolve.
    """
    answer = solve(settings)
    if answer.status is Status.INFEASIBLE and settings.presolve_milps:
        return solve(replace(settings, presolve_milps=False))
    return answer
