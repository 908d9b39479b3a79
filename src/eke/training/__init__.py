"""How a model is made: a small GPT over bytes, trained on a text file, in a folder that holds all it needs to go on.

    job.json          what to train, on what, how long
    metrics.jsonl     one line a step
    checkpoints/      the last few, each whole and checked

`python -m eke.training FOLDER` works on it until it is done (exit 0) or asked to stop (SIGTERM: checkpoint, exit 75).
Killed anywhere, it resumes to the very same losses. `job`, `progress` and `task` need no torch. This room knows nothing
of plans or HTTP.
"""
