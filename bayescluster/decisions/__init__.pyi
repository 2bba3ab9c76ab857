from .decision_by_expected_loss import Decision as Decision
