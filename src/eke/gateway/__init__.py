"""The gateway: who may use it, and who used how much. One OpenAI-compatible address before all engines of a run.

It knows HTTP bodies, queues and tokens; it knows nothing of plans, chips or how engines are started.
"""
