//! Unix signals, as requests to the daemon.
//!
//! A plain thread reads them, which nothing else can delay: a daemon whose actors hang still ends on the third TERM.

use std::sync::atomic::{AtomicU32, Ordering};

use sexton_entities::states::Via;
use signal_hook::{
    consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2},
    iterator::Signals,
};
use tokio::sync::mpsc::Sender;

use super::requests::{MAX_WAITING, Request, ShutdownMode};
use sexton_client::principal::Principal;

/// How often the process was asked to end.
static STOPS: AtomicU32 = AtomicU32::new(0);

/// Whether a signal has asked the process to end, even if the daemon has not handled it yet.
pub fn is_asked_to_end() -> bool {
    STOPS.load(Ordering::Relaxed) > 0
}

/// Starts to listen. From now on these signals do not end the process by themselves.
///
/// # Errors
/// If the operating system refuses a signal handler or the thread.
pub fn listen(requests: Sender<Request>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut stops = 0;
        for signal in signals.forever() {
            if matches!(signal, SIGTERM | SIGINT | SIGQUIT | SIGUSR2) {
                STOPS.fetch_add(1, Ordering::Relaxed);
            }
            let request = match signal {
                SIGTERM | SIGINT => {
                    stops += 1;
                    if stops > 2 {
                        std::process::exit(128 + signal);
                    }
                    Request::Stop(if stops == 1 { ShutdownMode::Drain } else { ShutdownMode::Force })
                }
                SIGQUIT => {
                    stops = stops.max(1);
                    Request::Stop(ShutdownMode::Immediate)
                }
                SIGUSR2 => {
                    stops = stops.max(1);
                    Request::Stop(ShutdownMode::Force)
                }
                SIGHUP => Request::Reload { reply: None, by: Principal::unknown(Via::Signal) },
                SIGTSTP => Request::Quiet { quiet: true, by: Principal::unknown(Via::Signal) },
                SIGCONT => Request::Quiet { quiet: false, by: Principal::unknown(Via::Signal) },
                _ => Request::LogRunning,
            };
            if requests.try_send(request).is_err() {
                tracing::warn!("signal {signal} is dropped: {MAX_WAITING} requests are waiting already");
            }
        }
    })?;
    Ok(())
}
