//! The title of a forked process in `ps`: it is written over the arguments of the process.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
};

/// The maximum length of a title, in bytes. The fork server is started with arguments of this length.
pub(super) const ROOM: usize = 250;

/// Where this process keeps its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title {
    start: u64,
    length: usize,
}

impl Title {
    /// Finds the arguments of this process.
    pub(super) fn find() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name in parentheses may contain anything; `arg_start` and `arg_end` are fields 48 and 49 (proc(5)).
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        match (field(48), field(49)) {
            (Some(start), Some(end)) if start > 0 && end > start => Ok(Self { start, length: (end - start) as usize }),
            _ => Err(io::Error::other("the arguments of this process cannot be found")),
        }
    }

    /// Sets the title. A failure is ignored, because the title is only for people.
    pub(super) fn set(self, title: &str) {
        let mut bytes: Vec<u8> = title.bytes().map(|byte| if byte < b' ' { b' ' } else { byte }).collect();
        bytes.truncate(self.length.saturating_sub(1));
        bytes.resize(self.length, 0);
        if let Ok(memory) = File::options().write(true).open("/proc/self/mem") {
            let _ = memory.write_all_at(&bytes, self.start);
        }
    }
}
