//! The environment of the programs that daemon modules run.

use crate::domain::{
    command::CommandSpec,
    identity::{ModuleName, NodeId},
};

/// The variables of a program of a module, the `start`th one: those that its settings name, and who runs it.
pub(in crate::daemon::modules) fn environment(
    command: &CommandSpec,
    module: &ModuleName,
    node: &NodeId,
    start: i64,
) -> Vec<(String, String)> {
    let mut env = command.passed_on(std::env::vars_os());
    env.extend(command.env.clone());
    let own = [("", module.to_string()), ("_START", start.to_string()), ("_NODE", node.to_string())];
    env.extend(own.map(|(name, value)| (format!("SEXTON_MODULE{name}"), value)));
    env
}
