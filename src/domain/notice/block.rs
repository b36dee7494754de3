//! The parts of a notice. How they look is a matter of `text.rs` and `html.rs`.

/// A part of a notice. Its texts are clean: each is one line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Sentence(String),
    /// Labels with their values.
    Fields(Vec<(&'static str, String)>),
    List(Vec<String>),
    /// Lines of output that are as long as they are, under a title.
    Stream(String, Vec<String>),
    /// Lines of output, under a title.
    Quote(String, Vec<String>),
    /// Commands, under a title.
    Commands(String, Vec<String>),
    /// Problems under a title: each with its number, what it is, and how long it lasts.
    Problems(String, Vec<(i64, String, String)>),
}
