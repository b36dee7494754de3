#!/usr/bin/env node
// A worker for Sexton in Node.js: one process that executes many tasks. docs/WORKERS.md describes the protocol.
// Put your functions into `handlers`, and write into the configuration:
//
//     [worker.example]
//     command = ["node", "/srv/app/worker.js"]
//
//     [task.welcome]
//     kind = "worker"
//     worker = "example"
"use strict";

const fs = require("fs");
const readline = require("readline");

/** The work is not done: try again after this number of seconds, or a duration such as "10m". */
class Retry extends Error {
  constructor(after, why = "later", payload = undefined) {
    super(why);
    this.after = after;
    // The payload of the next attempt, if it changes.
    this.payload = payload;
  }
}

/** The work can never be done. */
class Discard extends Error {}

// What programs print goes to the daemon's log: answers have a descriptor of their own.
const answers = Number(process.env.SEXTON_RESULT_FD);

function send(message) {
  const line = Buffer.from(JSON.stringify(message) + "\n");
  for (let sent = 0; sent < line.length; ) sent += fs.writeSync(answers, line, sent);
}

/** Executes tasks with the functions of `handlers`, by name, until the end of the input. */
function serve(handlers) {
  // Node.js reads while a function waits: a cancel can stop what listens to the signal.
  const running = new Map();

  async function execute(message) {
    const stop = new AbortController();
    running.set(message.id, stop);
    const id = message.id;
    const task = {
      ...message,
      signal: stop.signal,
      progress: (percent, text) => send({ type: "progress", id, percent, text }),
      log: (text) => send({ type: "log", id, text: String(text) }),
    };
    try {
      const result = await handlers[message.name](task);
      send({ type: "result", id, result });
    } catch (error) {
      if (error instanceof Retry) {
        send({ type: "retry", id, after: error.after, error: error.message, payload: error.payload });
      } else if (error instanceof Discard) send({ type: "error", id, error: error.message, discard: true });
      else {
        task.log(error && error.stack);
        send({ type: "error", id, error: String(error) });
      }
    } finally {
      running.delete(id);
    }
  }

  send({ type: "hello", protocol: 1, names: Object.keys(handlers) });
  const lines = readline.createInterface({ input: process.stdin, terminal: false });
  lines.on("line", (line) => {
    const message = JSON.parse(line);
    if (message.type === "ping") send({ type: "pong" });
    else if (message.type === "task") execute(message);
    else if (message.type === "cancel") running.get(message.id)?.abort();
  });
}

const handlers = {
  async welcome(task) {
    const name = task.payload?.name ?? "world";
    task.progress(50, "greeting");
    console.log("greeting", name);
    return { greeting: `hello, ${name}`, process: process.pid };
  },
  async fail() {
    throw new TypeError("no such order");
  },
  async later(task) {
    if (!task.payload?.again) throw new Retry(0.1, "not yet", { again: true });
    throw new Discard("never");
  },
};

serve(handlers);
