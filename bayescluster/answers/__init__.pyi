from .bias_accounting import BiasAccounting as BiasAccounting
from .lift import Lift as Lift
from .rollout import Rollout as Rollout
