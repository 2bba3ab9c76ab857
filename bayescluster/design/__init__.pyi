from .calibration import (
    Calibration as Calibration,
)
from .calibration import (
    calibrate as calibrate,
)
from .cluster_grouping import (
    Groupings as Groupings,
)
from .cluster_grouping import (
    group_clusters as group_clusters,
)
from .exposure_plan import (
    ExposurePlan as ExposurePlan,
)
from .exposure_plan import (
    plan_exposure as plan_exposure,
)
