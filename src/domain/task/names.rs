//! The names of the tasks that a node can execute.

use std::collections::BTreeSet;

/// Names of task definitions. A node claims tasks of these names only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskNames(BTreeSet<String>);

impl TaskNames {
    /// Whether a task of that name can be executed.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<T: Into<String>> FromIterator<T> for TaskNames {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// What the live nodes of a cluster say about a name that one of them does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefinedBy {
    /// These nodes define it.
    Nodes(Vec<String>),
    /// A node of an earlier version does not say what it defines.
    Perhaps(String),
    /// These nodes define it, and their configuration disables it.
    Disabled(Vec<String>),
    /// No node defines it.
    Nobody,
}

/// What one live node defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNames {
    /// The name of the node.
    pub node: String,
    /// What it defines; none if it does not say.
    pub names: Option<TaskNames>,
    /// What it defines, and its configuration disables.
    pub disabled: TaskNames,
}

/// Which of the live nodes define a name.
pub fn defined_by(name: &str, live: &[NodeNames]) -> DefinedBy {
    let defines = |node: &&NodeNames| node.names.as_ref().is_some_and(|names| names.contains(name));
    let nodes: Vec<String> = live.iter().filter(defines).map(|node| node.node.clone()).collect();
    if !nodes.is_empty() {
        return DefinedBy::Nodes(nodes);
    }
    if let Some(silent) = live.iter().find(|node| node.names.is_none()) {
        return DefinedBy::Perhaps(silent.node.clone());
    }
    let disable = live.iter().filter(|node| node.disabled.contains(name));
    let nodes: Vec<String> = disable.map(|node| node.node.clone()).collect();
    if nodes.is_empty() { DefinedBy::Nobody } else { DefinedBy::Disabled(nodes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, names: Option<&[&str]>) -> NodeNames {
        let names = names.map(|names| names.iter().copied().collect());
        NodeNames { node: name.to_owned(), names, disabled: TaskNames::default() }
    }

    #[test]
    fn only_what_every_live_node_lacks_is_defined_by_nobody() {
        let (own, other) = (node("own", Some(&["a"])), node("other", Some(&["b", "c"])));
        let live = [own.clone(), other.clone()];
        assert_eq!(defined_by("b", &live), DefinedBy::Nodes(vec!["other".to_owned()]));
        assert_eq!(defined_by("d", &live), DefinedBy::Nobody);
        let off = NodeNames { disabled: ["d", "b"].into_iter().collect(), ..node("off", Some(&[])) };
        let with_off = [own.clone(), other.clone(), off];
        assert_eq!(defined_by("d", &with_off), DefinedBy::Disabled(vec!["off".to_owned()]));
        assert_eq!(defined_by("b", &with_off), DefinedBy::Nodes(vec!["other".to_owned()]), "enabled there");
        let with_old = [own, other, node("old", None)];
        assert_eq!(defined_by("d", &with_old), DefinedBy::Perhaps("old".to_owned()));
        assert_eq!(defined_by("c", &with_old), DefinedBy::Nodes(vec!["other".to_owned()]));
    }
}
