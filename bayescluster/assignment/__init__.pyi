from .coin_flips_and_rerandomisation import (
    Bernoulli as Bernoulli,
)
from .coin_flips_and_rerandomisation import (
    Rerandomised as Rerandomised,
)
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
