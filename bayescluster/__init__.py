"""Bayesian analysis of cluster-randomised product experiments.

Start with :func:`analyze`, or step by step: :class:`Experiment`, then :func:`two_exposure`,
:func:`cluster_bootstrap` and :func:`fit`, then :func:`compare`.
"""
