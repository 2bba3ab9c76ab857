from .mechanisms import (
    Complete as Complete,
)
from .mechanisms import (
    Custom as Custom,
)
from .mechanisms import (
    Mechanism as Mechanism,
)
from .mechanisms import (
    Stratified as Stratified,
)
from .redrawn_mechanisms import (
    Bernoulli as Bernoulli,
)
from .redrawn_mechanisms import (
    Rerandomised as Rerandomised,
)
