"""A pool of Beam workers, for a runner that asks for `EXTERNAL` workers: one process per job, all of this installation.

    python -m pipeline.runners.beam_workers --port 50000

Beam's own pool starts a bare `python` of the PATH, which may be another installation, without Keras 2 and the ops of
ranking models.
"""

import core.beam_worker  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import subprocess
import sys
import time
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import sdk_worker, worker_pool_main


class _Pool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    """Beam's pool, but with processes of this interpreter and module."""

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Start the process of a worker, which `StopWorker` ends."""
        options = [f"--control={request.control_endpoint.url}", f"--worker={request.worker_id}"]
        process = subprocess.Popen([sys.executable, "-m", "pipeline.runners.beam_workers", *options])
        self._worker_processes[request.worker_id] = process
        return beam_fn_api_pb2.StartWorkerResponse()


def main() -> int:
    """Run the pool until it is interrupted or, with --control, one worker until its runner ends it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.beam_workers")
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--port", type=int, metavar="PORT", help="run the pool, which listens on this port")
    role.add_argument("--control", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--worker", metavar="ID", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.control is not None:
        sdk_worker.SdkHarness(arguments.control, worker_id=arguments.worker).run()
        return 0
    address, server = _Pool.start(use_process=True, port=arguments.port)
    print(f"beam workers: listening on {address}", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.stop(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
