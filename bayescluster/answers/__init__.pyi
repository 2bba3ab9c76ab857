from .method_comparison import BiasAccounting as BiasAccounting
from .rollout import Rollout as Rollout
