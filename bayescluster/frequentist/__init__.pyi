from .average_regression import (
    average_effects as average_effects,
)
from .average_regression import (
    average_moments as average_moments,
)
from .cluster_bootstrap import BootstrapEstimates as BootstrapEstimates
from .cluster_influence import (
    effective_clusters as effective_clusters,
)
from .cluster_influence import (
    influence as influence,
)
from .conditional_randomization import spillover_test as spillover_test
from .estimates_record import Estimates as Estimates
from .exposure_contrasts import (
    ExposureContrast as ExposureContrast,
)
from .exposure_contrasts import (
    exposure_contrast as exposure_contrast,
)
from .graph_estimators import (
    exposure_weighted_ols as exposure_weighted_ols,
)
from .graph_estimators import (
    hajek as hajek,
)
from .graph_estimators import (
    horvitz_thompson as horvitz_thompson,
)
from .graph_estimators import (
    recentred_ols as recentred_ols,
)
from .inverted_tests import ResamplingTest as ResamplingTest
from .ols import (
    WaldTest as WaldTest,
)
from .ols import (
    wald_test as wald_test,
)
