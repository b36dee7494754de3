//! The control socket: HTTP on a Unix socket in the run directory, for the daemon's owner only.
//!
//! A thread with a runtime of its own serves it, so that it answers while the database does not, and while modules hang.
//! `docs/CONTROL.md` lists the requests.

mod answers;
mod peer;

pub use self::answers::{Deployment, DisabledTask, Module, PlanInForce, RunningTask, Status};

use std::{io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request as HttpRequest, Response, StatusCode, body::Bytes, body::Incoming, header};
use serde_json::{Value, json};
use sexton_client::principal::Principal;
use sexton_entities::states::{AuditAction, AuditTarget};
use tokio::sync::{Semaphore, mpsc::Sender, oneshot};

use self::peer::Peer;
use super::{
    http_connection::{READ_TIMEOUT, serve_connection},
    lifecycle::{
        requests::{Reply, Request, ShutdownMode},
        run_lock::RunLock,
        status::DaemonStatus,
    },
    supervision::supervisor_handle::RestartError,
};
use crate::{
    service::{LockError, RunDir, control::Problem},
    store::Deed,
    telemetry::{DebugChoice, LogControl},
};

/// Maximum size of a request body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// Maximum number of connections at once; others wait.
const MAX_CONNECTIONS: usize = 64;
/// Maximum wait for an answer of the daemon's main loop.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the socket and the run directory are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Delay after a connection could not be accepted.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// What the requests need.
#[derive(Clone)]
struct Control {
    status: DaemonStatus,
    requests: Sender<Request>,
    log: LogControl,
}

/// A refused request: the status code, and the reason.
struct Refusal(StatusCode, String);

/// Starts to answer requests.
///
/// # Errors
/// If the socket cannot be bound, or the thread cannot be started.
pub(super) fn listen(
    run_lock: Arc<RunLock>,
    status: DaemonStatus,
    requests: Sender<Request>,
    log: LogControl,
) -> io::Result<()> {
    let listener = bind(&run_lock.run)?;
    let control = Control { status, requests, log };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || runtime.block_on(serve(&run_lock, listener, control)))?;
    Ok(())
}

fn bind(run: &RunDir) -> io::Result<UnixListener> {
    let socket = run.control_socket();
    // The lock is ours: the process that bound an existing socket is gone.
    let listener = run.bind(&socket, |address| UnixListener::bind(address))?;
    listener.set_nonblocking(true)?;
    if run.is_deep() {
        tracing::warn!(
            "{} is too long for the address of a socket: `sexton status` works all the same, other programs may not. \
             Set daemon.run_dir to a shorter path",
            socket.display()
        );
    }
    Ok(listener)
}

async fn serve(run_lock: &RunLock, listener: UnixListener, control: Control) {
    let mut listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the control socket cannot be served: {error}"),
    };
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut check = tokio::time::interval(CHECK_INTERVAL);
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = check.tick() => {
                if !run_lock.is_held() {
                    return;
                }
                if let Some(another) = repaired(run_lock, &control) {
                    listener = another;
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // A lack of descriptors, or the client has gone.
            Err(error) => {
                tracing::debug!("cannot accept a connection at the control socket: {error}");
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
        };
        let control = control.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let peer = Peer::of(&stream);
            serve_connection(stream, |request| control.answer(request, peer)).await;
        });
    }
}

/// A new listener, if the run directory or the socket was deleted.
fn repaired(run_lock: &RunLock, control: &Control) -> Option<tokio::net::UnixListener> {
    match run_lock.repair() {
        Ok(false) if run_lock.run.control_socket().exists() => return None,
        Ok(_) => {}
        Err(error @ LockError::Held(_)) => {
            tracing::error!(
                "the run directory was deleted, and another daemon holds it now: {error}; this daemon stops"
            );
            let _ = control.requests.try_send(Request::Stop(ShutdownMode::Drain));
            return None;
        }
        Err(error) => {
            tracing::debug!("cannot restore the run directory: {error}");
            return None;
        }
    }
    let bound = bind(&run_lock.run).and_then(tokio::net::UnixListener::from_std);
    bound.inspect_err(|error| tracing::debug!("cannot bind the control socket again: {error}")).ok()
}

impl Control {
    async fn answer(&self, request: HttpRequest<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        if request.method() == Method::GET
            && request.uri().path() == "/metrics"
            && let Some(components) = self.status.components()
        {
            return components.metrics_source().response(request.headers().get(header::ACCEPT)).await;
        }
        let (status, value) = match self.respond(request, peer).await {
            Ok(value) => (StatusCode::OK, value),
            Err(Refusal(status, error)) => (status, json!(Problem { error })),
        };
        let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
        *response.status_mut() = status;
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    async fn respond(&self, request: HttpRequest<Incoming>, peer: Peer) -> Result<Value, Refusal> {
        let (head, body) = request.into_parts();
        let by = || peer.principal(head.uri.query().unwrap_or_default());
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["status"]) => Ok(json!(Status::of(&self.status, &self.log))),
            (&Method::GET, ["modules"]) => Ok(json!(answers::modules(&self.status))),
            (&Method::GET, ["tasks"]) => Ok(json!(answers::tasks(&self.status))),
            (&Method::GET, ["plan"]) => self.plan(head.uri.query().unwrap_or_default()).await,
            (&Method::GET, ["metrics"]) => Err(no_modules()),
            (&Method::GET, ["log"]) => Ok(json!(self.log.describe())),
            (&Method::PUT, ["log"]) => self.set_debug(body).await,
            (&Method::POST, ["reload"]) => self.ask(|reply| Request::Reload { reply: Some(reply), by: by() }).await,
            (&Method::POST, ["modules", name, "restart"]) => self.restart_module(name, &by()).await,
            (&Method::POST, ["quiet"]) => self.request(Request::Quiet { quiet: true, by: by() }),
            (&Method::POST, ["resume"]) => self.request(Request::Quiet { quiet: false, by: by() }),
            (&Method::POST, ["stop"]) => {
                let has = |wanted| head.uri.query().is_some_and(|query| query.split('&').any(|word| word == wanted));
                let wants_force = has("force=true");
                let mode = if wants_force { ShutdownMode::Force } else { ShutdownMode::Drain };
                self.status.note_stop(by());
                if has("announce=true") {
                    return Ok(json!({ "accepted": true }));
                }
                self.request(Request::Stop(mode))
            }
            (
                _,
                [
                    "status" | "metrics" | "modules" | "tasks" | "plan" | "log" | "reload" | "quiet" | "resume"
                    | "stop",
                ]
                | ["modules", _, "restart"],
            ) => {
                let problem = format!("/{1} does not accept {0}; see docs/CONTROL.md", head.method, path.join("/"));
                Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, problem))
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                format!("there is nothing at {}; see docs/CONTROL.md", head.uri.path()),
            )),
        }
    }

    /// The plan of the schedules in force. It may take long, so that other requests are answered meanwhile.
    async fn plan(&self, query: &str) -> Result<Value, Refusal> {
        let (status, query) = (self.status.clone(), query.to_owned());
        let found = tokio::task::spawn_blocking(move || PlanInForce::of(&status, &query)).await;
        let found = found.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        found.map(|found| json!(found)).map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))
    }

    /// Passes a request on, without waiting for its result.
    fn request(&self, request: Request) -> Result<Value, Refusal> {
        self.requests.try_send(request).map_err(|_| busy())?;
        Ok(json!({ "accepted": true }))
    }

    /// Passes a request on, and waits for its result.
    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<Value, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|_| busy())?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer.map_err(|problem| Refusal(StatusCode::CONFLICT, problem)),
            Ok(Err(_)) => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping".to_owned())),
            Err(_) => Err(busy()),
        }
    }

    async fn restart_module(&self, name: &str, by: &Principal) -> Result<Value, Refusal> {
        let conflict = |problem: String| Refusal(StatusCode::CONFLICT, problem);
        let found = self.status.components().and_then(|components| Some((components, components.supervisor()?)));
        let (components, supervisor) = found.ok_or_else(|| conflict("the modules do not run yet".to_owned()))?;
        supervisor.restart_module(name).await.map_err(|error| match error {
            RestartError::Refused(problem) => conflict(problem),
            RestartError::Unavailable(problem) => Refusal(StatusCode::SERVICE_UNAVAILABLE, problem),
        })?;
        let deed = Deed::new(AuditAction::Restart, AuditTarget::Module, name);
        components.audit.note(by, deed.from_to(None, json!({ "node": components.identity.name })));
        Ok(json!({ "restarted": name }))
    }

    async fn set_debug(&self, body: Incoming) -> Result<Value, Refusal> {
        let bad = |problem: String| Refusal(StatusCode::BAD_REQUEST, problem);
        let read = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY).collect());
        let body = read.await.map_err(|_| bad("the request has no complete body".to_owned()))?;
        let body = body.map_err(|error| bad(error.to_string()))?;
        let choice = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| bad(format!("invalid choice of modules: {error}")))?;
        if let (DebugChoice::Modules(names), Some(components)) = (&choice, self.status.components())
            && let Some(unknown) = names.iter().find(|name| components.modules.get(name).is_none())
        {
            let known: Vec<String> = components.modules.all().into_iter().map(|module| module.name).collect();
            return Err(bad(format!("there is no daemon module `{unknown}`; known: {}", known.join(", "))));
        }
        self.log.set_debug(choice);
        Ok(json!(self.log.describe()))
    }
}

fn no_modules() -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "the modules do not run yet".to_owned())
}

fn busy() -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy; try again".to_owned())
}
