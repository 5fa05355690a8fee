"""Serve the provider to Terraform: started by Terraform itself, or once for many runs (`--reattach SOCKET`).

`tf` brings the protocol; its own server is not used, because an interrupt must not kill what is under way: Terraform
sends the interrupt, and then waits for the call in flight. So SIGINT is ignored here, StopProvider stops nothing, and
only Shutdown, which comes after the last call, ends the process.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc
from tf.provider import ProviderServicer

from tests.cloud.provider.fakecloud import SOURCE, FakeCloud

THREADS = 64
HERE = Path(__file__).parent


class Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):
    """Ends the process when Terraform needs it no more."""

    def __init__(self) -> None:
        self.shutdown = threading.Event()

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Note that it is time to go."""
        self.shutdown.set()
        return grpc_controller_pb2.Empty()


class Stdio(grpc_stdio_pb2_grpc.GRPCStdioServicer):
    """Has nothing to say."""

    def StreamStdio(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """An empty stream, which Terraform asks for."""
        return iter(())


def build() -> tuple[grpc.Server, Controller]:
    """A server with everything Terraform asks a plugin for."""
    server, controller = grpc.server(ThreadPoolExecutor(THREADS)), Controller()
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(ProviderServicer(FakeCloud()), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(controller, server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    return server, controller


def serve_terraform() -> None:
    """Greet the Terraform that started us, and serve it until it says Shutdown.

    The key pair lies beside this file: to make one would take longer than all the rest. The socket is named from
    the working folder, which is Terraform's too, because a full path may be longer than a socket's name can be.
    """
    server, controller = build()
    certificate = (HERE / "certificate.pem").read_bytes()
    pair = ((HERE / "key.pem").read_bytes(), certificate)
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"fakecloud-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o700)
    socket = min(str(folder / "s"), os.path.relpath(folder / "s"), key=len)
    server.add_secure_port(f"unix:{socket}", grpc.ssl_server_credentials([pair]))
    server.start()
    encoded = "".join(certificate.decode().splitlines()[1:-1]).rstrip("=")
    print(f"1|6|unix|{socket}|grpc|{encoded}", flush=True)
    controller.shutdown.wait()
    server.stop(grace=0.5).wait()
    with contextlib.suppress(OSError):
        (folder / "s").unlink(missing_ok=True)
        folder.rmdir()
    os._exit(0)


def serve_many(socket: str) -> None:
    """Serve every Terraform that has our line in TF_REATTACH_PROVIDERS, until killed."""
    server, _ = build()
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    address = {"Network": "unix", "String": socket}
    offer = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
    print(json.dumps({SOURCE: offer}), flush=True)
    server.wait_for_termination()


def main(arguments: list[str]) -> None:
    """Serve in the way the arguments say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments[:1] == ["--reattach"]:
        serve_many(arguments[1])
    elif "TF_PLUGIN_MAGIC_COOKIE" in os.environ:
        serve_terraform()
    else:
        sys.exit("This is a Terraform provider; Terraform starts it.")


if __name__ == "__main__":
    main(sys.argv[1:])
