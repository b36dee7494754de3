//! The daemon's side: requests shepherds from the fork server, and waits for their end.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;
use tokio::{net::unix::pipe::Receiver, sync::oneshot};

use super::{
    attempt_dir::{AttemptDir, AttemptDirState, StartLock},
    cgroup::{self, Group},
    fork_server::NAME,
    launch_spec::{AttemptManifest, StopOrder},
    node_dir::NodeDir,
    process_tree, title,
    tree_stats::TreeStats,
};
use crate::domain::{command::CommandEnd, identity::NodeId, task::claim::Claim};

/// A fork server that does not answer for this long hangs, and is replaced.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two tries while descriptors or memory are short.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The variables that identify the processes of a task's attempt, and those of a module's program.
const MARKING_VARIABLES: [[&str; 3]; 2] = [
    ["SEXTON_TASK_ID", "SEXTON_TASK_FENCE", "SEXTON_TASK_NODE"],
    ["SEXTON_MODULE", "SEXTON_MODULE_START", "SEXTON_MODULE_NODE"],
];

/// The shepherds of one daemon. Clones share one fork server.
#[derive(Clone)]
pub struct Shepherds {
    inner: Arc<ShepherdsInner>,
}

struct ShepherdsInner {
    /// The directory of all node directories on this machine.
    root: PathBuf,
    node: NodeId,
    program: PathBuf,
    node_dir: Mutex<Option<Arc<NodeDir>>>,
    requests: OnceLock<mpsc::Sender<ForkRequest>>,
    cgroup: OnceLock<Option<PathBuf>>,
}

/// A request for a shepherd.
struct ForkRequest {
    dir: PathBuf,
    answer: oneshot::Sender<io::Result<i32>>,
}

/// A shepherd as its daemon sees it, started by this daemon or adopted.
pub struct Shepherd {
    dir: AttemptDir,
    /// Its process number, for the statistics of its process tree.
    pid: i32,
    /// A process descriptor, which becomes readable when the process ends, as a pipe does. None if the process ended
    /// before it could be opened.
    process: Option<Receiver>,
}

impl Shepherds {
    /// Shepherds of that node. `program` is this program, or another one that calls [`super::enter`] first of all. The
    /// fork server is started with the first shepherd.
    pub fn new(root: &Path, node: NodeId, program: PathBuf) -> Self {
        let inner = ShepherdsInner {
            root: root.to_owned(),
            node,
            program,
            node_dir: Mutex::default(),
            requests: OnceLock::new(),
            cgroup: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The directory of all node directories on this machine.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The node of this daemon.
    pub fn node(&self) -> &NodeId {
        &self.inner.node
    }

    /// The control group that systemd has delegated to this daemon, if any.
    pub fn cgroup(&self) -> Option<PathBuf> {
        self.inner.cgroup.get_or_init(cgroup::delegated).clone()
    }

    /// Restores the memory limit of a running command. When a daemon ends under systemd, it withdraws the controller
    /// from the commands, because systemd could not start its successor otherwise (`config/systemd/sexton.service`).
    pub fn restore_memory_limit<A>(&self, dir: &AttemptDir, manifest: &AttemptManifest<A>) {
        let Some(bytes) = manifest.spec.limits.memory else { return };
        let Some(parent) = self.cgroup().filter(|own| manifest.spec.cgroup.as_ref() == Some(own)) else { return };
        let name = dir.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Ok(group) = Group::create(&parent, &name) {
            group.limit_memory(bytes);
        }
    }

    /// The directory of this node's attempts, opened at the first call and kept open.
    ///
    /// # Errors
    /// If the directory cannot be created, or another process has locked it.
    pub fn node_dir(&self) -> io::Result<Arc<NodeDir>> {
        let mut node_dir = self.inner.node_dir.lock();
        if let Some(node_dir) = node_dir.as_ref().filter(|node_dir| node_dir.is_in_place()) {
            return Ok(node_dir.clone());
        }
        // It was not opened yet, or someone has removed it: the old lock is released before a new one is taken.
        *node_dir = None;
        let opened = Arc::new(NodeDir::open(&self.inner.root, &self.inner.node)?);
        *node_dir = Some(opened.clone());
        Ok(opened)
    }

    /// Like [`Shepherds::node_dir`], but only if it was opened and still exists.
    pub fn existing_node_dir(&self) -> Option<Arc<NodeDir>> {
        let node_dir = self.inner.node_dir.lock();
        node_dir.as_ref().filter(|node_dir| node_dir.is_in_place()).cloned()
    }

    /// Removes the node directory if it is empty, at the end of the daemon.
    pub fn leave(&self) {
        if let Some(node_dir) = self.inner.node_dir.lock().take() {
            node_dir.remove_if_empty();
        }
    }

    /// Starts a command under a shepherd.
    ///
    /// # Errors
    /// If the attempt directory cannot be created, or the fork server cannot start a shepherd. The command was not
    /// started then.
    pub async fn start<A: Serialize>(
        &self,
        claim: Claim,
        manifest: &AttemptManifest<A>,
        input: Option<&[u8]>,
    ) -> io::Result<Shepherd> {
        let node_dir = self.node_dir()?;
        let (dir, held) = AttemptDir::create(node_dir.path(), claim, manifest, input)?;
        self.begin(dir, held).await
    }

    /// Starts the shepherd of an attempt directory.
    pub(super) async fn begin(&self, dir: AttemptDir, held: StartLock) -> io::Result<Shepherd> {
        let started = self.request(&dir).await;
        drop(held);
        let pid = match started {
            Ok(pid) => pid,
            // Only the answer may have been lost.
            Err(error) => match retry_on_shortage(|| dir.inspect()).await {
                Ok(AttemptDirState::Running(pid)) => pid,
                Ok(AttemptDirState::Ended) => return Ok(Shepherd { dir, pid: 0, process: None }),
                Ok(AttemptDirState::Lost { .. }) | Err(_) => {
                    dir.remove();
                    return Err(error);
                }
            },
        };
        retry_on_shortage(|| Shepherd::watch(dir.clone(), pid)).await
    }

    pub(super) async fn request(&self, dir: &AttemptDir) -> io::Result<i32> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the thread of the fork server is gone");
        let request = ForkRequest { dir: dir.path().to_owned(), answer };
        self.requests()?.send(request).map_err(|_| gone())?;
        match answered.await.map_err(|_| gone())?? {
            pid @ 1.. => Ok(pid),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    /// The channel to the fork server's thread. The thread lives as long as the process: signals on the death of a
    /// parent are sent at the end of the thread that started the child.
    fn requests(&self) -> io::Result<mpsc::Sender<ForkRequest>> {
        if let Some(requests) = self.inner.requests.get() {
            return Ok(requests.clone());
        }
        let (sender, receiver) = mpsc::channel();
        let program = self.inner.program.clone();
        if self.inner.requests.set(sender.clone()).is_ok() {
            let open_files = raise_open_files();
            let serving = move || serve(&program, open_files, &receiver);
            std::thread::Builder::new().name("shepherds".to_owned()).spawn(serving)?;
            return Ok(sender);
        }
        self.inner
            .requests
            .get()
            .cloned()
            .ok_or_else(|| io::Error::other("the thread of the fork server cannot be started"))
    }
}

/// Raises the limit of open files, because each running command needs a descriptor. Returns the usual limit, which
/// commands get back: some cannot handle more.
fn raise_open_files() -> u64 {
    let Ok((usual, max)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, max, max) {
        tracing::warn!("the limit of open files stays at {usual}: {}", error.desc());
    }
    usual
}

/// Repeats `work` while descriptors or memory are short, so that a running command does not look like a failed one.
///
/// # Errors
/// Any other error of `work`.
pub async fn retry_on_shortage<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if is_shortage(&error) => tokio::time::sleep(RETRY_INTERVAL).await,
            done => return done,
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

/// Passes requests on to the fork server, one after the other.
fn serve(program: &Path, open_files: u64, requests: &mpsc::Receiver<ForkRequest>) {
    let mut server: Option<ForkServer> = None;
    while let Ok(request) = requests.recv() {
        let mut asked =
            server.as_mut().map_or_else(|| Err(io::ErrorKind::NotConnected.into()), |s| s.ask(&request.dir));
        if asked.is_err() {
            // It was not started yet, or was killed: start another one.
            asked = ForkServer::start(program, open_files).and_then(|started| server.insert(started).ask(&request.dir));
        }
        let _ = request.answer.send(asked);
    }
}

/// The fork server as its daemon sees it.
struct ForkServer {
    process: Child,
    socket: UnixStream,
}

impl ForkServer {
    fn start(program: &Path, open_files: u64) -> io::Result<Self> {
        let (socket, its_end) = UnixStream::pair()?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        // The arguments have room for the titles of shepherds. The environment is empty, because the daemon's may
        // contain secrets.
        let name = format!("{NAME:<width$}", width = title::ROOM);
        let process = Command::new(program)
            .arg0(name)
            .arg(open_files.to_string())
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(its_end)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        Ok(Self { process, socket })
    }

    /// Requests a shepherd. Returns its process number once it has acquired the attempt, or a negative error.
    fn ask(&mut self, dir: &Path) -> io::Result<i32> {
        self.socket.write_all(&[dir.as_os_str().as_bytes(), b"\0"].concat())?;
        let mut pid = [0; 4];
        self.socket.read_exact(&mut pid)?;
        Ok(i32::from_le_bytes(pid))
    }
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Shepherd {
    /// The shepherd of that attempt, which has or had this process number.
    ///
    /// It needs a running Tokio runtime.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn watch(dir: AttemptDir, number: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
        let process = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            // It held its attempt after the descriptor was opened by number, so the descriptor is its own.
            Ok(process) if dir.is_held()? => Some(Receiver::from_owned_fd_unchecked(process)?),
            Ok(_) => None,
            Err(error) if Errno::from_raw(error.raw_os_error()) == Errno::ESRCH => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { dir, pid: number, process })
    }

    /// The directory of its attempt.
    pub fn attempt_dir(&self) -> &AttemptDir {
        &self.dir
    }

    /// The statistics of the processes below it; empty if it has ended.
    pub fn tree_stats(&self) -> TreeStats {
        // The process number is its own while it holds its attempt.
        match self.process.is_some() && self.dir.is_held().unwrap_or(false) {
            true => TreeStats::of(self.pid),
            false => TreeStats::default(),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The error of the operating system.
    pub async fn ended(&self) -> io::Result<()> {
        if let Some(process) = &self.process {
            process.readable().await?;
        }
        Ok(())
    }

    /// Orders it to stop its command. A later order may shorten the grace time.
    ///
    /// # Errors
    /// If the order cannot be written. The shepherd is notified nevertheless, and stops the command with the grace time
    /// of its manifest.
    pub fn stop(&self, order: &StopOrder) -> io::Result<()> {
        let noted = self.dir.set_stop(order);
        self.signal(Signal::TERM);
        noted
    }

    /// Continues it, if someone has stopped it.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills the shepherd only. [`end_lost_command`] then kills the processes of its command.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            // It may have ended by itself in the meantime.
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

/// The end of a command whose shepherd was killed: kills what remains of the command.
pub fn end_lost_command(dir: &AttemptDir) -> CommandEnd {
    CommandEnd::failed(match kill_leftovers(dir) {
        0 => "its shepherd was killed".to_owned(),
        count => format!("its shepherd was killed; remaining processes killed: {count}"),
    })
}

/// Kills the remaining processes of an attempt whose shepherd was killed. Returns their number.
fn kill_leftovers(dir: &AttemptDir) -> usize {
    let manifest = dir.manifest::<serde::de::IgnoredAny>().ok();
    let name = dir.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(group) =
        manifest.as_ref().and_then(|manifest| Group::create(manifest.spec.cgroup.as_ref()?, &name).ok())
    {
        group.kill();
    }
    let is_mark = |(name, value): &(String, String)| {
        MARKING_VARIABLES.as_flattened().contains(&name.as_str()).then(|| format!("{name}={value}"))
    };
    let variables: Vec<String> = manifest.iter().flat_map(|manifest| &manifest.spec.env).filter_map(is_mark).collect();
    // Fewer variables could match other processes.
    if variables.len() == MARKING_VARIABLES[0].len() { process_tree::kill_marked(&variables) } else { 0 }
}
