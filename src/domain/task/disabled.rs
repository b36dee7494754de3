//! Task definitions that are switched off: what becomes of their tasks.

/// What becomes of the tasks of a definition that is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDisabled {
    /// They wait until it is enabled.
    Wait,
    /// New ones are refused. Those that are there are discarded, unless another node has the definition enabled.
    Refuse,
}

impl WhenDisabled {
    /// The words of the configuration.
    pub const WORDS: [(&str, Self); 2] = [("wait", Self::Wait), ("refuse", Self::Refuse)];

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
        }
    }
}

/// Why a task of that name is refused.
pub fn refusal(name: &str) -> String {
    format!("task `{name}` is disabled, and its tasks are refused (`enabled = false`, `when_disabled = \"refuse\"`)")
}
