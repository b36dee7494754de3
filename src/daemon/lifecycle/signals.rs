//! Unix signals, as orders to the daemon.
//!
//! They are read on a plain thread that nothing else can hold up: a daemon whose actors hang still ends on the
//! third TERM.

use std::sync::atomic::{AtomicU32, Ordering};

use signal_hook::{
    consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2},
    iterator::Signals,
};
use tokio::sync::mpsc::Sender;

/// How often the process was told to end.
static STOPS: AtomicU32 = AtomicU32::new(0);

/// Whether the process was told to end, also if nobody has carried that out yet.
pub fn is_told_to_end() -> bool {
    STOPS.load(Ordering::Relaxed) > 0
}

/// So many orders may wait to be carried out.
pub const ORDERS: usize = 16;

/// What the daemon can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Finish what runs, within the stop time-out, and end. (TERM, INT)
    Drain,
    /// The same, within the shorter time-out of a forced stop. (A second TERM or INT, or USR2)
    Hurry,
    /// Give back what runs, and end. (QUIT)
    AtOnce,
    /// Read the configuration anew. (HUP)
    Reload,
    /// Claim nothing for now, or go on. (TSTP, CONT)
    Quiet(bool),
    /// Tell what runs. (USR1)
    Tell,
}

/// Starts listening; from now on these signals do not end the process by themselves.
///
/// # Errors
/// If the operating system does not let it.
pub fn listen(orders: Sender<Order>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut stops = 0;
        for signal in signals.forever() {
            if matches!(signal, SIGTERM | SIGINT | SIGQUIT | SIGUSR2) {
                STOPS.fetch_add(1, Ordering::Relaxed);
            }
            let order = match signal {
                SIGTERM | SIGINT => {
                    stops += 1;
                    if stops > 2 {
                        std::process::exit(128 + signal);
                    }
                    if stops == 1 { Order::Drain } else { Order::Hurry }
                }
                SIGQUIT => {
                    stops = stops.max(1);
                    Order::AtOnce
                }
                SIGUSR2 => {
                    stops = stops.max(1);
                    Order::Hurry
                }
                SIGHUP => Order::Reload,
                SIGTSTP => Order::Quiet(true),
                SIGCONT => Order::Quiet(false),
                _ => Order::Tell,
            };
            if orders.try_send(order).is_err() {
                tracing::warn!("{order:?} is left out: too many orders are waiting");
            }
        }
    })?;
    Ok(())
}
