from .bias_accounting import BiasAccounting as BiasAccounting
from .rollout import Rollout as Rollout
