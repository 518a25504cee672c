#!/bin/sh
# SPDX-License-Identifier: MIT
# free_port.sh: a TCP port that was free a moment ago, below those that are given to whoever asks for any.
exec python3 -c '
import os, socket
at = os.getpid() * 61
while True:
    port = 20000 + at % 12000
    at += 1
    try:
        socket.socket().bind(("127.0.0.1", port))
    except OSError:
        continue
    print(port)
    break'
