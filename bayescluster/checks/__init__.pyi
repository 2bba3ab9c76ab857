from .leave_one_out import (
    LeaveOneOut as LeaveOneOut,
)
from .leave_one_out import (
    ModelComparison as ModelComparison,
)
from .leave_one_out import (
    compare_fits as compare_fits,
)
from .leave_one_out import (
    compare_models as compare_models,
)
from .leave_one_out import (
    loo as loo,
)
from .predictive_check import (
    PredictiveCheck as PredictiveCheck,
)
from .predictive_check import (
    posterior_predictive_check as posterior_predictive_check,
)
from .predictive_check import (
    prior_predictive_check as prior_predictive_check,
)
from .sensitivity_to_exposure import (
    ExposureSensitivity as ExposureSensitivity,
)
from .sensitivity_to_exposure import (
    exposure_sensitivity as exposure_sensitivity,
)
from .sensitivity_to_priors import (
    PowerScaling as PowerScaling,
)
from .sensitivity_to_priors import (
    PriorSensitivity as PriorSensitivity,
)
from .sensitivity_to_priors import (
    power_scaling as power_scaling,
)
from .sensitivity_to_priors import (
    prior_sensitivity as prior_sensitivity,
)
