"""Stands in for `ssh`: runs the command on this machine with FAKE_HOME as its home, and forwards ports. Each call is a
line of FAKE_CALLS. A file FAKE_BROKEN, while it is there, is what ssh says before it fails."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    arguments = sys.argv[1:]
    with open(os.environ["FAKE_CALLS"], "a") as calls:
        print(*arguments, file=calls)
    forwards, command = parse(arguments)
    if (broken := Path(os.environ.get("FAKE_BROKEN", "/nowhere"))).exists():
        print(broken.read_text(), file=sys.stderr)
        return 255
    for here, there in forwards:
        listener = socket.create_server(("127.0.0.1", here))
        threading.Thread(target=serve, args=(listener, there), daemon=True).start()
    threading.Thread(target=break_off, args=(broken,), daemon=True).start()
    if command is None:
        threading.Event().wait()
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=os.environ["FAKE_HOME"],
        env={**os.environ, "HOME": os.environ["FAKE_HOME"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    for descriptor in (0, 1):  # which rsync has set otherwise
        os.set_blocking(descriptor, True)
    threading.Thread(target=copy, args=(0, process.stdin.fileno()), daemon=True).start()
    output = threading.Thread(target=copy, args=(process.stdout.fileno(), 1), daemon=True)
    output.start()
    code = process.wait()
    output.join()
    return code


def copy(source: int, sink: int) -> None:
    """With its pipes the command loses its input and output when this process is gone, as it does with sshd."""
    while data := os.read(source, 65536):
        while data:
            data = data[os.write(sink, data) :]
    os.close(sink)


def parse(arguments: list[str]) -> tuple[list[tuple[int, int]], str | None]:
    """Ports to forward, and the command behind user@host."""
    forwards, rest = [], list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-i", "-o", "-L", "-l"):
            value = rest.pop(0)
            if option == "-L":
                _, here, _, there = value.split(":")
                forwards.append((int(here), int(there)))
    return forwards, " ".join(rest[1:]) or None


def serve(listener: socket.socket, port: int) -> None:
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            continue
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def break_off(broken: Path) -> None:
    """A connection that is there breaks too."""
    while not broken.exists():
        threading.Event().wait(0.1)
    os._exit(255)


if __name__ == "__main__":
    sys.exit(main())
