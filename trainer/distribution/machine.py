"""A process that trains as one of several machines: `python -m trainer.distribution.machine CALL MACHINE`.

It makes the same fits as the trainer that called, and writes its models to a temporary folder, which is deleted: those
of the trainer are kept.
"""

import importlib
import sys
import tempfile
from pathlib import Path

from core import progress
from core.code import code_digest
from core.errors import ModelError, TwostepError
from core.files import read_json
from core.printable import as_error
from trainer.distribution.machines import Call, answer
from trainer.step_settings import CODE, RankingStepSettings, RetrievalStepSettings, settings_json

SETTINGS: dict[str, type[RetrievalStepSettings] | type[RankingStepSettings]] = {
    "retrieval": RetrievalStepSettings,
    "ranking": RankingStepSettings,
}


def main(call_file: str, machine: int) -> int:
    """Answer a call and run its fits; return the exit code."""
    call = Call.model_validate(read_json(call_file))
    try:
        _check(call)
        answer(Path(call_file), machine, call)
        with tempfile.TemporaryDirectory(prefix="twostep-") as folder, progress.listening(_print):
            outputs = {"serving_model_dir": f"{folder}/model", "model_run_dir": f"{folder}/run"}
            Path(outputs["model_run_dir"]).mkdir()
            arguments = call.arguments.model_copy(update={**outputs, "machine": machine, "call": call.id})
            importlib.import_module(f"trainer.{call.step}.run_fn").run_fn(arguments)
    except TwostepError as error:
        answer(Path(call_file), machine, call, str(error))
        print(as_error(str(error)), file=sys.stderr)
        return error.exit_code
    return 0


def _check(call: Call) -> None:
    """Check that this machine can train. Raises: ModelError."""
    from trainer.distribution.distribution import choose_gpus

    config = call.arguments.custom_config
    settings = SETTINGS[call.step].model_validate_json(settings_json(config))
    modules = importlib.import_module(f"trainer.{call.step}.registry").MODELS.modules(settings.model, settings.params)
    if code_digest(f"trainer.{call.step}.run_fn", *modules) != config[CODE]:
        raise ModelError(
            "should run the same code as the first machine; found other code or other versions of its libraries. "
            "Install the same version of twostep, from the same requirements.lock"
        )
    choose_gpus(settings.training.gpus)


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
