from .collaboration_graph import CollaborationGraph as CollaborationGraph
from .mappings import (
    AtLeast as AtLeast,
)
from .mappings import (
    CustomMapping as CustomMapping,
)
from .mappings import (
    ExposureMapping as ExposureMapping,
)
from .mappings import (
    ShareAbove as ShareAbove,
)
from .mappings import (
    TreatedShare as TreatedShare,
)
from .positivity import Positivity as Positivity
from .probability_of_exposure import (
    ExposureProbabilities as ExposureProbabilities,
)
from .probability_of_exposure import (
    exposure_probabilities as exposure_probabilities,
)
