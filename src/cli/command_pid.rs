//! The processes of running commands, on the machine where they run.

use std::collections::HashMap;

use sexton_entities::task;

use crate::{
    config::Config,
    service::tree,
    shepherd::{AttemptDirState, NodeDir},
};

/// The process ids of the commands that some tasks run, by task. Tasks are missing that run on another machine, that are
/// no commands, or whose state directory this user may not read.
pub(super) fn command_pids(config: &Config, tasks: &[task::Model]) -> HashMap<i64, i32> {
    let root = config.daemon.state_dir.join("attempts");
    let shepherd = |task: &task::Model| {
        let attempt_dir = NodeDir::newest_attempt(&root, task.id)?;
        let is_current = attempt_dir.claim().is_some_and(|claim| claim.fence == task.fence);
        match attempt_dir.inspect() {
            Ok(AttemptDirState::Running(pid)) if is_current => Some((pid, task.id)),
            _ => None,
        }
    };
    let shepherds: HashMap<i32, i64> = tasks.iter().filter_map(shepherd).collect();
    let roots: Vec<i32> = shepherds.keys().copied().collect();
    let mut pids = HashMap::new();
    // The command is the first child of its shepherd.
    for process in tree(&roots).iter().filter(|process| process.depth == 1) {
        if let Some(task) = shepherds.get(&process.parent) {
            pids.entry(*task).or_insert(process.pid);
        }
    }
    pids
}

/// The process id of the command that one task runs.
pub(super) fn command_pid(config: &Config, task: &task::Model) -> Option<i32> {
    command_pids(config, std::slice::from_ref(task)).remove(&task.id)
}
