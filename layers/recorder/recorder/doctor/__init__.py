"""The doctor: whether all is there that a deployment needs, and where it is not, what is to be done.

The same checks run in the function `CheckDeployment`, at the end of each deploy and by hand, and on an operator's
machine (`make doctor`). They leave nothing behind, and tell nothing secret.
"""

from recorder.doctor.examination import examine, summary
from recorder.doctor.finding import Finding, Verdict

__all__ = ["Finding", "Verdict", "examine", "summary"]
