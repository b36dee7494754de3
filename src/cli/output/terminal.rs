//! What the terminal can show: its width, and whether colours are wanted.

use anstream::{AutoStream, ColorChoice};

/// The terminal that standard output goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    /// The number of columns. Absent if the output goes to a file or another program: then nothing is shortened.
    pub(super) width: Option<usize>,
    /// Whether failures are coloured. `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE` are obeyed.
    pub(super) has_colours: bool,
}

impl Terminal {
    pub(super) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let own = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        // As in POSIX, the variable counts more than the terminal.
        let wanted = std::env::var_os("COLUMNS").and_then(|width| width.to_str()?.parse().ok());
        Self {
            width: wanted.or(own).filter(|width| *width > 0),
            has_colours: AutoStream::choice(&stdout) != ColorChoice::Never,
        }
    }
}
