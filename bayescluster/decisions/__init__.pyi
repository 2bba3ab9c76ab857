from .decision import Decision as Decision
