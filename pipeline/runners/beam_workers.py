"""A pool of Beam workers, for a runner that asks for `EXTERNAL` workers: one process per job, all of this installation.

    python -m pipeline.runners.beam_workers --port 50000

Beam's own pool starts a bare `python` of the PATH, which may be another installation, without Keras 2.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import os
import signal
import subprocess
import sys
import threading
from typing import Any, NoReturn

import grpc
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import sdk_worker, worker_pool_main

from pipeline.runners import processes


class _Pool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    """Beam's pool, but with processes of this interpreter and module."""

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Start the process of a worker."""
        options = [f"--control={request.control_endpoint.url}", f"--worker={request.worker_id}"]
        process = subprocess.Popen([sys.executable, "-m", "pipeline.runners.beam_workers", *options])
        threading.Thread(target=process.wait, daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Leave the end of a worker to itself: it ends with its runner's connection.

        The id in the request may be that of several workers, since each Prism numbers its jobs from 1.
        """
        return beam_fn_api_pb2.StopWorkerResponse()


def main() -> int:
    """Run the pool until it is interrupted or, with --control, one worker until its runner ends it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.beam_workers")
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--port", type=int, metavar="PORT", help="run the pool, which listens on this port")
    role.add_argument("--control", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--worker", metavar="ID", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.port is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    if arguments.control is not None:
        _work(arguments.control, arguments.worker)
    address, server = _Pool.start(use_process=True, port=arguments.port)
    print(f"beam workers: listening on {address}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.stop(0)
    processes.end_descendants(os.getpid())
    return 0


def _work(control: str, worker: str) -> NoReturn:
    """Run a worker until its runner closes the connection; then end this process with all threads of Beam."""
    try:
        sdk_worker.SdkHarness(control, worker_id=worker).run()
    except grpc.RpcError:
        pass  # the runner has ended
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
