#!/bin/sh
# SPDX-License-Identifier: MIT
# free_port.sh: a TCP port that was free a moment ago; the kernel gives it to nobody else soon.
exec python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
