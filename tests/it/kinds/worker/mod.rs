//! Kind `worker`: long-lived processes, what they answer, and how they end.

mod faults;
mod lives;
mod settings;
mod tasks;

use std::path::{Path, PathBuf};

use serde_json::json;
use sexton::NewTask;

use crate::{commands::Stand, support::value};

/// A worker that does what the payload says, with the ready-made frame.
const PROGRAM: &str = r#"
import os, sys, time
sys.path.insert(0, "FRAME")
from worker import serve, Retry

MARK = sys.argv[1] if len(sys.argv) > 1 else ""

def it(task):
    do = task.payload or {}
    task.log(f"this is {os.getpid()}")
    if "wait_for" in do:
        open(do["begun"], "w").close()
        while not os.path.exists(do["wait_for"]):
            time.sleep(0.02)
    if do.get("kill") and task.attempt == 1:
        print("dying now", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    if do.get("leave"):
        os._exit(do["leave"] - 1)
    if "say" in do:
        os.write(3, do["say"].encode() + b"\n")
        time.sleep(3600)
    if do.get("flood"):
        while True:
            os.write(3, b'{"type":"progress","id":%d,"percent":1}\n' % task.id * 100)
    if do.get("long"):
        os.write(3, b"x" * 2_000_000)
    if do.get("grow"):
        it.memory = bytearray(do["grow"])
    return {"pid": os.getpid(), "payload": task.payload, "mark": MARK}

serve({"it": it, "other": it})
if MARK.startswith("/"):
    open(MARK, "w").close()
"#;

/// Writes that worker to a file.
fn program(folder: &Path) -> PathBuf {
    let frame = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/workers");
    let file = folder.join("program.py");
    std::fs::write(&file, PROGRAM.replace("FRAME", frame)).unwrap();
    file
}

/// The tables of a program with that worker, and of the task `it`.
fn tables(folder: &Path, of_worker: &str, of_task: &str) -> String {
    marked(folder, "mark", of_worker, of_task)
}

fn marked(folder: &Path, mark: &str, of_worker: &str, of_task: &str) -> String {
    format!(
        "[worker.shop]\ncommand = [\"/usr/bin/python3\", \"{}\", \"{mark}\"]\nrestart_delay = \"20ms\"\n{of_worker}\n\
         [task.it]\nkind = \"worker\"\nworker = \"shop\"\nkill_after = \"100ms\"\n{of_task}\n\
         [task.other]\nkind = \"worker\"\nworker = \"shop\"\n",
        program(folder).display()
    )
}

/// The process that executed a task.
fn pid(result: &Option<sexton::JsonText>) -> i64 {
    value(result).unwrap()["pid"].as_i64().unwrap()
}

/// A payload whose task begins a file, and ends with another one.
fn until(folder: &Path, name: &str) -> (PathBuf, PathBuf, serde_json::Value) {
    let (begun, go) = (folder.join(format!("{name}-begun")), folder.join(format!("{name}-go")));
    let payload = json!({"begun": begun, "wait_for": go});
    (begun, go, payload)
}

async fn enqueue(stand: &Stand, payload: serde_json::Value) -> i64 {
    stand.enqueue(NewTask { payload: Some(payload.into()), ..NewTask::new("it") }).await
}
