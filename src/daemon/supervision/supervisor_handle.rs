//! How the rest of the daemon reaches its supervisor.

use std::time::Duration;

use actix::{Actor, Addr, Handler, Recipient, dev::ToEnvelope};
use tokio::sync::oneshot;

use crate::daemon::{
    messages::{Reconfigure, RestartModule, StopStage},
    stop_stage::Stage,
};

/// How long the supervisor has for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a module is not restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// The request cannot be fulfilled. The text says why.
    #[error("{0}")]
    Refused(String),
    /// The supervisor does not answer now.
    #[error("{0}")]
    Unavailable(String),
}

/// The supervisor's address.
pub struct SupervisorHandle {
    reconfigure: Recipient<Reconfigure>,
    restart: Recipient<RestartModule>,
    stop_stage: Recipient<StopStage>,
}

impl SupervisorHandle {
    /// The handle of the supervisor with that address.
    pub(in crate::daemon) fn new<S>(address: &Addr<S>) -> Self
    where
        S: Actor + Handler<Reconfigure> + Handler<RestartModule> + Handler<StopStage>,
        S::Context: ToEnvelope<S, Reconfigure> + ToEnvelope<S, RestartModule> + ToEnvelope<S, StopStage>,
    {
        Self {
            reconfigure: address.clone().recipient(),
            restart: address.clone().recipient(),
            stop_stage: address.clone().recipient(),
        }
    }

    /// Whether the supervisor lives.
    pub(in crate::daemon) fn is_connected(&self) -> bool {
        self.reconfigure.connected()
    }

    /// Makes the supervisor act on the configuration in force: modules may have been added, changed or removed.
    pub(in crate::daemon) fn reconfigure(&self) {
        if let Err(error) = self.reconfigure.try_send(Reconfigure) {
            tracing::error!(
                "the modules do not know of the new configuration, because their supervisor takes no messages ({error}): reload again"
            );
        }
    }

    /// Stops the modules of a stage.
    pub(in crate::daemon) fn stop(&self, stage: Stage) {
        if let Err(error) = self.stop_stage.try_send(StopStage(stage)) {
            tracing::error!("cannot ask the supervisor to stop modules: {error}");
        }
    }

    /// Replaces a daemon module by a fresh one. Returns when the present one has been asked to end.
    ///
    /// # Errors
    /// [`RestartError::Refused`] if there is no such module, or it does not run; [`RestartError::Unavailable`] if the
    /// supervisor does not answer.
    pub async fn restart_module(&self, name: &str) -> Result<(), RestartError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.restart.try_send(RestartModule { name: name.to_owned(), reply });
        sent.map_err(|error| RestartError::Unavailable(format!("the supervisor takes no request: {error}")))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer.map_err(RestartError::Refused),
            Ok(Err(_)) => Err(RestartError::Unavailable("the supervisor has ended".to_owned())),
            Err(_) => {
                let limit = ANSWER_TIMEOUT.as_secs();
                Err(RestartError::Unavailable(format!("the supervisor does not answer within {limit} s")))
            }
        }
    }
}
