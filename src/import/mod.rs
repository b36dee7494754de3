//! The import of other schedulers' files: their text is converted to drafts of tasks, with notes.

mod background;
mod calendar;
mod crontab;
mod draft;
mod exec;
mod format;
mod name;
mod service;
mod shell;
mod timer;
mod unit;
mod write;

pub use self::{
    crontab::{Crontab, read as crontab},
    draft::{Import, ImportNote, ImportNoteKind, ImportedTask, Timing},
    format::CrontabFormat,
    name::Names,
    timer::read as timer,
    unit::{Unit, UnitText, service_of},
    write::toml,
};
