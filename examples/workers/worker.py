#!/usr/bin/python3
"""A worker for Sexton in Python: one process that executes many tasks. docs/WORKERS.md describes the protocol.

Put your functions below `handlers`, and write into the configuration:

    [worker.example]
    command = ["/usr/bin/python3", "/srv/app/worker.py"]

    [task.welcome]
    kind = "worker"
    worker = "example"
"""

import json
import os
import sys
import traceback


class Retry(Exception):
    """The work is not done: try again after this number of seconds, or a duration such as "10m"."""

    def __init__(self, after, why=None, payload=None):
        super().__init__(why or "later")
        # The payload of the next attempt, if it changes.
        self.after, self.payload = after, payload


class Discard(Exception):
    """The work can never be done."""


class Task:
    """One attempt of a task."""

    def __init__(self, message, send):
        self.id, self.name, self.payload = message["id"], message["name"], message["payload"]
        self.attempt, self.max_attempts = message["attempt"], message["max_attempts"]
        self.message, self._send = message, send

    def progress(self, percent=None, text=None):
        self._send({"type": "progress", "id": self.id, "percent": percent, "text": text})

    def log(self, text):
        self._send({"type": "log", "id": self.id, "text": str(text)})


def serve(handlers):
    """Executes tasks with the functions of `handlers`, by name, until the end of the input."""
    # What programs print goes to the daemon's log: answers have a descriptor of their own.
    answers = os.fdopen(int(os.environ["SEXTON_RESULT_FD"]), "wb", buffering=0)
    # A program that a function starts must not get it.
    os.set_inheritable(answers.fileno(), False)

    def send(message):
        line = memoryview(json.dumps(message).encode() + b"\n")
        while line:
            line = line[answers.write(line):]

    send({"type": "hello", "protocol": 1, "names": sorted(handlers)})
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "ping":
            send({"type": "pong"})
        elif message["type"] == "task":
            task = Task(message, send)
            try:
                send({"type": "result", "id": task.id, "result": handlers[task.name](task)})
            except Retry as retry:
                send({"type": "retry", "id": task.id, "after": retry.after, "error": str(retry), "payload": retry.payload})
            except Discard as why:
                send({"type": "error", "id": task.id, "error": str(why), "discard": True})
            except Exception as error:
                task.log(traceback.format_exc())
                send({"type": "error", "id": task.id, "error": f"{type(error).__name__}: {error}"})
        # A `cancel` comes while a function runs, and is read when it is over: it is too late then.


def welcome(task):
    name = (task.payload or {}).get("name", "world")
    task.progress(50, "greeting")
    print("greeting", name, flush=True)
    return {"greeting": f"hello, {name}", "process": os.getpid()}


def fail(task):
    raise ValueError("no such order")


def later(task):
    if not (task.payload or {}).get("again"):
        raise Retry(0.1, "not yet", payload={"again": True})
    raise Discard("never")


handlers = {"welcome": welcome, "fail": fail, "later": later}

if __name__ == "__main__":
    serve(handlers)
