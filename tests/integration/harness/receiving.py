"""A webhook target as a process that can be killed: `receiving.py PORT FILE`.

It writes each event as a line into the file and then answers 204, slowly enough to be killed in between.
Standard library only; started by its path.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # In one piece: a process that is killed leaves a whole line or none.
        with open(sys.argv[2], "ab", buffering=0) as file:
            file.write(body + b"\n")
        time.sleep(0.02)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
