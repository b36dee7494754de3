//! What a configuration may refer to, although it does not define it.

use crate::domain::task::definition::TaskDefinition;

/// The names that a configuration may refer to, besides those that it defines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownNames {
    /// Kinds of the registered handlers.
    pub kinds: Vec<String>,
    /// Names of the registered daemon modules.
    pub modules: Vec<String>,
    /// What the registered handlers define themselves.
    pub definitions: Vec<TaskDefinition>,
}
