//! The control socket: HTTP in the run directory, for the daemon's owner alone.
//!
//! It is served on a plain thread with a runtime of its own, so that it answers while the database is away and while
//! modules hang. `docs/CONTROL.md` lists what can be asked.

mod answers;

pub use self::answers::{Module, PlanInForce, RunningTask, Status};

use std::{
    convert::Infallible,
    io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Bytes, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc::Sender, oneshot};

use super::lifecycle::{
    requests::{Call, Reply},
    run_lock::RunLock,
    signals::Order,
    status::DaemonStatus,
};
use crate::{
    service::{LockError, RunDir, control::Problem},
    telemetry::{DebugChoice, LogControl},
};

/// More than any request that is understood.
const LONGEST_BODY: usize = 64 * 1024;
/// So many are talked to at once; others wait.
const ROOM: usize = 64;
/// Who is silent for so long is hung up on.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was asked of the daemon's main loop is waited for so long.
const ANSWER: Duration = Duration::from_secs(30);
/// How often it is seen to that the socket is still there.
const LOOK: Duration = Duration::from_secs(2);
/// Between two tries to accept somebody, if that fails.
const REST: Duration = Duration::from_millis(100);

/// What an answer is made of.
#[derive(Clone)]
struct Control {
    desk: DaemonStatus,
    calls: Sender<Call>,
    log: LogControl,
}

/// Why there is none.
struct Refusal(StatusCode, String);

/// Begins to answer.
///
/// # Errors
/// If there can be no socket.
pub(super) fn listen(door: Arc<RunLock>, desk: DaemonStatus, calls: Sender<Call>, log: LogControl) -> io::Result<()> {
    let listener = bind(&door.run)?;
    let control = Control { desk, calls, log };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || runtime.block_on(serve(&door, listener, control)))?;
    Ok(())
}

fn bind(run: &RunDir) -> io::Result<UnixListener> {
    let socket = run.control_socket();
    // The lock is ours: whoever has bound this is gone.
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = run.with_address(&socket, |address| UnixListener::bind(address))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    if run.is_deep() {
        tracing::warn!(
            "{} is longer than the address of a socket may be: `sexton status` finds a way, other programs may not. \
             Set daemon.run_dir to a shorter path",
            socket.display()
        );
    }
    Ok(listener)
}

async fn serve(door: &RunLock, listener: UnixListener, control: Control) {
    let mut listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the control socket cannot be served: {error}"),
    };
    let room = Arc::new(Semaphore::new(ROOM));
    let mut look = tokio::time::interval(LOOK);
    loop {
        let Ok(seat) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = look.tick() => {
                if let Some(another) = mended(door, &control) {
                    listener = another;
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Descriptors are short, or the other side has changed its mind.
            Err(error) => {
                tracing::debug!("nobody could be let in at the control socket: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let control = control.clone();
        tokio::spawn(async move {
            let _seat = seat;
            let service = service_fn(|request| control.answer(request));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!("the control socket was left in the middle: {error}");
            }
        });
    }
}

/// Another listener, if somebody has cleared the run directory or the socket away.
fn mended(door: &RunLock, control: &Control) -> Option<tokio::net::UnixListener> {
    match door.mend() {
        Ok(false) if door.run.control_socket().exists() => return None,
        Ok(_) => {}
        Err(error @ LockError::Held(_)) => {
            tracing::error!(
                "the run directory was cleared away, and by now it is another daemon's: {error}; this one ends"
            );
            let _ = control.calls.try_send(Call::Order(Order::Drain));
            return None;
        }
        Err(error) => {
            tracing::debug!("the run directory cannot be put in order: {error}");
            return None;
        }
    }
    let bound = bind(&door.run).and_then(tokio::net::UnixListener::from_std);
    bound.inspect_err(|error| tracing::debug!("the control socket cannot be bound again: {error}")).ok()
}

impl Control {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (status, value) = match self.respond(request).await {
            Ok(value) => (StatusCode::OK, value),
            Err(Refusal(status, error)) => (status, json!(Problem { error })),
        };
        let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
        *response.status_mut() = status;
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Value, Refusal> {
        let (head, body) = request.into_parts();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (&head.method, path.as_slice()) {
            (&Method::GET, ["status"]) => Ok(json!(Status::of(&self.desk, &self.log))),
            (&Method::GET, ["modules"]) => Ok(json!(answers::modules(&self.desk))),
            (&Method::GET, ["tasks"]) => Ok(json!(answers::tasks(&self.desk))),
            (&Method::GET, ["plan"]) => self.plan(head.uri.query().unwrap_or_default()).await,
            (&Method::GET, ["log"]) => Ok(json!(self.log.describe())),
            (&Method::PUT, ["log"]) => self.set_debug(body).await,
            (&Method::POST, ["reload"]) => self.ask(Call::Reload).await,
            (&Method::POST, ["modules", name, "restart"]) => self.restart_module(name).await,
            (&Method::POST, ["quiet"]) => self.order(Order::Quiet(true)),
            (&Method::POST, ["resume"]) => self.order(Order::Quiet(false)),
            (&Method::POST, ["stop"]) => {
                let wants_force =
                    head.uri.query().is_some_and(|query| query.split('&').any(|word| word == "force=true"));
                self.order(if wants_force { Order::Hurry } else { Order::Drain })
            }
            (
                _,
                ["status" | "modules" | "tasks" | "plan" | "log" | "reload" | "quiet" | "resume" | "stop"]
                | ["modules", _, "restart"],
            ) => {
                let problem = format!("{} is not what /{} is for", head.method, path.join("/"));
                Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, problem))
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                format!("there is nothing at {}; see docs/CONTROL.md", head.uri.path()),
            )),
        }
    }

    /// What the schedules in force will do. Others are answered meanwhile: it may take a while.
    async fn plan(&self, query: &str) -> Result<Value, Refusal> {
        let (desk, query) = (self.desk.clone(), query.to_owned());
        let found = tokio::task::spawn_blocking(move || PlanInForce::of(&desk, &query)).await;
        let found = found.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        found.map(|found| json!(found)).map_err(|problem| Refusal(StatusCode::BAD_REQUEST, problem))
    }

    /// Gives an order and waits for nothing.
    fn order(&self, order: Order) -> Result<Value, Refusal> {
        self.calls.try_send(Call::Order(order)).map_err(|_| busy())?;
        Ok(json!({ "accepted": true }))
    }

    /// Asks the main loop, and waits for its answer.
    async fn ask(&self, call: impl FnOnce(Reply) -> Call) -> Result<Value, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.calls.try_send(call(reply)).map_err(|_| busy())?;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => answer.map_err(|problem| Refusal(StatusCode::CONFLICT, problem)),
            Ok(Err(_)) => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping".to_owned())),
            Err(_) => Err(busy()),
        }
    }

    async fn restart_module(&self, name: &str) -> Result<Value, Refusal> {
        let conflict = |problem: String| Refusal(StatusCode::CONFLICT, problem);
        let shared = self.desk.shared().ok_or_else(|| conflict("the modules are not up yet".to_owned()))?;
        let asked = tokio::time::timeout(ANSWER, shared.restart_module(name));
        asked.await.map_err(|_| busy())?.map_err(conflict)?;
        Ok(json!({ "restarted": name }))
    }

    async fn set_debug(&self, body: Incoming) -> Result<Value, Refusal> {
        let bad = |problem: String| Refusal(StatusCode::BAD_REQUEST, problem);
        let read = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST_BODY).collect());
        let body = read.await.map_err(|_| bad("the body does not come".to_owned()))?;
        let body = body.map_err(|error| bad(error.to_string()))?;
        let choice = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| bad(format!("this is no choice of modules: {error}")))?;
        if let (DebugChoice::Modules(names), Some(shared)) = (&choice, self.desk.shared())
            && let Some(unknown) = names.iter().find(|name| shared.board.of(name).is_none())
        {
            let known: Vec<String> = shared.board.read().into_iter().map(|module| module.name).collect();
            return Err(bad(format!("there is no daemon module `{unknown}`; known: {}", known.join(", "))));
        }
        self.log.set_debug(choice);
        Ok(json!(self.log.describe()))
    }
}

fn busy() -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon does not listen at present; try again".to_owned())
}
