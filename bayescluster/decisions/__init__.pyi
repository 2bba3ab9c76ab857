from .decision import Decision as Decision
from .decision_rule import (
    State as State,
)
