#!/usr/bin/python3
"""Measures a worker process beside one process for each task, on an SQLite file of its own.

    cargo build --release
    examples/workers/bench.py target/release/sexton

A daemon executes tasks that do nothing: by one worker process in Python, and by one program for each task. The rate is
that of the daemon's own history: tasks, divided by the time from the first start to the last end.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile

CONFIGURATION = """
[database]
url = "sqlite://{folder}/sexton.db"

[daemon]
state_dir = "{folder}/state"
timezone = "UTC"

[log]
level = "warn"

[worker.bench]
command = ["{python}", "{program}"]
processes = {processes}

[queue.workers]
workers = {slots}

[queue.commands]
workers = {slots}

[task.by-worker]
kind = "worker"
worker = "bench"
queue = "workers"

[task.by-command]
command = ["/bin/true"]
queue = "commands"

[task.by-python]
command = ["{python}", "-c", "pass"]
queue = "commands"
"""

PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from worker import serve
serve({{"by-worker": lambda task: None}})
"""


def main():
    parser = argparse.ArgumentParser(description="worker processes beside one process for each task")
    parser.add_argument("sexton", help="a release build of sexton")
    parser.add_argument("--tasks", type=int, default=50_000, help="tasks for the worker processes")
    parser.add_argument("--commands", type=int, default=2_000, help="tasks for one program each")
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--slots", type=int, default=10, help="workers of each queue")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "program.py")
        with open(program, "w") as file:
            file.write(PROGRAM.format(folder=os.path.dirname(os.path.abspath(__file__))))
        config = os.path.join(folder, "sexton.toml")
        with open(config, "w") as file:
            file.write(CONFIGURATION.format(folder=folder, program=program, python=sys.executable,
                                            processes=args.processes, slots=args.slots))
        sexton = [args.sexton, "--config", config]
        subprocess.run([*sexton, "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
        print(f"{'kind':<34}{'tasks':>8}{'tasks/s':>10}{'failed':>8}")
        runs = [("by-worker", args.tasks, f"worker, {args.processes} Python process(es)"),
                ("by-command", args.commands, "command, /bin/true for each task"),
                ("by-python", args.commands // 4, "command, Python for each task")]
        for name, tasks, words in runs:
            database = sqlite3.connect(os.path.join(folder, "sexton.db"))
            rows = ((name, "workers" if name == "by-worker" else "commands") for _ in range(tasks))
            with database:
                database.executemany("INSERT INTO sexton_task (name, queue) VALUES (?, ?)", rows)
            database.close()
            subprocess.run([*sexton, "run", "--once"], check=True, stdout=subprocess.DEVNULL)
            database = sqlite3.connect(os.path.join(folder, "sexton.db"))
            seconds, done, failed = database.execute(
                "SELECT (julianday(max(finished_at)) - julianday(min(started_at))) * 86400, count(*), "
                "count(*) FILTER (WHERE outcome <> 'succeeded') FROM sexton_history WHERE name = ?", (name,)).fetchone()
            database.close()
            print(f"{words:<34}{done:>8}{done / max(seconds, 1e-6):>10.0f}{failed:>8}")


if __name__ == "__main__":
    main()
