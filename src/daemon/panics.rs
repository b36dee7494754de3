//! What a panic said: kept for each thread, because the unwinding itself does not tell.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Sends panics to the log instead of the terminal, and remembers their text for the supervisor.
pub fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let text = match (info.payload().downcast_ref::<&str>(), info.payload().downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (_, Some(text)) => text.clone(),
                _ => "a panic without a message".to_owned(),
            };
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            tracing::debug!("panic at {place}: {text}");
            LAST.with(|last| *last.borrow_mut() = format!("{text} ({place})"));
        }));
    });
}

/// The text of this thread's latest panic.
pub(super) fn last_on_this_thread() -> String {
    LAST.with(|last| match last.borrow().as_str() {
        "" => "a panic without a message".to_owned(),
        text => text.to_owned(),
    })
}
