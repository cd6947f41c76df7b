"""Pictures of fitted estimators, in scikit-learn's display style: `from_estimator`, then `plot`."""

from numlstm.plotting.attribution import AttributionDisplay
from numlstm.plotting.figures import blank_figure as blank_figure
from numlstm.plotting.figures import check_picture as check_picture
from numlstm.plotting.forecast import ForecastDisplay
from numlstm.plotting.gates import GateDisplay
from numlstm.plotting.loss_curve import LossCurveDisplay

__all__ = [
    "AttributionDisplay",
    "ForecastDisplay",
    "GateDisplay",
    "LossCurveDisplay",
]
