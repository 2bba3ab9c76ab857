from .expected_loss import Decision as Decision
