from .exposure_section import ExposureSpec as ExposureSpec
from .model_spec import (
    DesignSpec as DesignSpec,
)
from .model_spec import (
    HeterogeneitySpec as HeterogeneitySpec,
)
from .model_spec import (
    OutcomeSpec as OutcomeSpec,
)
from .model_spec import (
    ReportSpec as ReportSpec,
)
from .priors import PriorsSpec as PriorsSpec
