"""How one node of the plan works: a module per kind of step, each with `run(context)`."""

STEPS = {
    "acquire": "declarative_ml.steps.acquire",
    "sql": "declarative_ml.steps.sql",
    "split": "declarative_ml.steps.split",
    "profile": "declarative_ml.steps.profile",
    "prepare": "declarative_ml.steps.prepare",
    "trial": "declarative_ml.steps.trial",
    "tune": "declarative_ml.steps.tune",
    "train": "declarative_ml.steps.train",
    "ensemble": "declarative_ml.steps.ensemble",
    "interval": "declarative_ml.steps.interval",
    "leaderboard": "declarative_ml.steps.leaderboard",
    "assemble": "declarative_ml.steps.assemble",
    "evaluate": "declarative_ml.steps.evaluate",
    "segments": "declarative_ml.steps.segments",
    "explain": "declarative_ml.steps.explain",
    "convert": "declarative_ml.steps.convert",
    "report": "declarative_ml.steps.report",
    "package": "declarative_ml.steps.package",
    "track": "declarative_ml.steps.track",
}
