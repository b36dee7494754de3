//! The import of other schedulers' files: their text is converted to drafts of tasks, with notes.

mod background;
mod calendar;
mod crontab;
mod draft;
mod exec;
mod format;
mod mail;
mod name;
mod service;
mod shell;
mod timer;
mod unit;
mod write;

pub use self::{
    crontab::{Crontab, read as crontab},
    draft::{Import, ImportNote, ImportNoteKind, ImportedChannel, ImportedMail, ImportedTask, Timing},
    format::CrontabFormat,
    name::Names,
    timer::read as timer,
    unit::{Unit, UnitText, service_of},
    write::toml,
};
