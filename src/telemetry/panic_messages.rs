//! What a panic said, and where it was: kept for each thread, because the unwinding itself does not tell the place.

use std::{
    cell::{Cell, RefCell},
    panic,
    sync::Once,
};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static SUPERVISED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the panic hook: from now on, panics on supervised threads are kept for those who catch them. All
/// others are printed as before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SUPERVISED.get() {
                return usual(info);
            }
            let text = match (info.payload().downcast_ref::<&str>(), info.payload().downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (_, Some(text)) => text.clone(),
                _ => "a panic without a message".to_owned(),
            };
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            LAST.set(Some(format!("{text} ({place})")));
        }));
    });
}

/// Puts this thread under supervision.
pub(crate) fn supervise_this_thread() {
    SUPERVISED.set(true);
}

/// The text of this thread's latest panic, with its place, if the thread is under supervision.
pub(crate) fn take_last() -> Option<String> {
    LAST.take()
}

/// The text of this thread's latest panic.
pub(crate) fn last_on_this_thread() -> String {
    take_last().unwrap_or_else(|| "a panic without a message".to_owned())
}
