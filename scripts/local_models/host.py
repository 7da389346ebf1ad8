"""The body of a child process: `python host.py NAME FILE PORT` serves one model until standard input closes.

Writes one line to standard output when the server is healthy, its base URL; everything else goes to standard
error. Imports nothing of its siblings, so that it runs as a script.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from urllib.parse import urlsplit

import xllamacpp

# Holds every prompt of the examples; the smallest model was trained on 8192, and memory grows with it.
CONTEXT_TOKENS = 4096
# llama.cpp keeps old prompts in memory, by default up to 8 GiB: far more than the weights themselves.
PROMPT_CACHE_MIB = 256


def host(name: str, file: str, port: int) -> None:
    """Serves until standard input closes, then ends the process at once.

    The pipe closes however the parent ends, SIGKILL included. Linux's parent-death signal would also fire
    when only the thread that started us ends.
    """
    report = os.dup(1)
    os.dup2(2, 1)  # llama.cpp writes on both
    server = xllamacpp.Server(parameters(name, file, port))  # stops when collected: keep the name
    while not is_healthy(server.listening_address):
        time.sleep(0.05)
    os.write(report, f"{server.listening_address}/v1\n".encode())
    os.close(report)
    sys.stdin.buffer.read()
    os._exit(0)  # joining llama.cpp's threads would wait for an answer that nobody reads any more


def parameters(name: str, file: str, port: int) -> xllamacpp.CommonParams:
    """Settings for one user on a busy machine."""
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {name}
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    # More threads spin while they wait for a core: beside one busy process on two cores, two threads gave a
    # thirtieth to an eighth of the tokens of one.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.hostnames = ["127.0.0.1"]
    params.cors_origins = "http://127.0.0.1"  # by default every web page in a browser here may ask it
    params.port = port
    params.use_jinja = True
    params.ui = False
    params.verbosity = 2  # warnings and errors; llama.cpp would log ten lines a request
    return params


def is_healthy(address: str) -> bool:
    """Whether the server has loaded its model."""
    # Not urllib, which would send this to a proxy set in the environment.
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    host(sys.argv[1], sys.argv[2], int(sys.argv[3]))
