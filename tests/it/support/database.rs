//! A database for one test, on a server that all tests share.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use chrono::{DateTime, Utc};
use nix::fcntl::{Flock, FlockArg};
use sea_orm::{ConnectionTrait, Database as SeaOrm, DatabaseConnection};
use sexton::store::{ConnectOptions, Store};

use super::{WallClock, template};

/// The kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
    MySql,
}

impl Kind {
    /// The name by which `tests/server` knows it.
    pub(super) fn server(self) -> &'static str {
        match self {
            Self::Sqlite => panic!("SQLite has no server"),
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }
}

/// The database of one test.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    /// The address of the server that all tests share, if it is on that one.
    pub(crate) shared: Option<&'static str>,
}

/// A server, and the lock that keeps it running.
pub(crate) struct Server {
    address: String,
    _in_use: Flock<File>,
}

impl Database {
    /// A new, empty database.
    pub(crate) async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = (kind != Kind::Sqlite).then(|| server(kind));
        let url = match shared {
            None => format!("sqlite://{}", folder.path().join("sexton.db").display()),
            Some(server) => create(server).await,
        };
        Self { kind, url, folder, shared }
    }

    /// A database on a separate server, on a host whose clock begins at `at`.
    pub(crate) async fn with_clock(kind: Kind, at: DateTime<Utc>) -> (Self, Server, WallClock) {
        let home = home(&uuid::Uuid::new_v4().simple().to_string());
        std::fs::create_dir_all(&home).unwrap();
        let clock = WallClock::new(&home, at);
        let server = start(kind, &home, |script| clock.govern(script.arg("once")));
        let url = create(&server.address).await;
        (Self { kind, url, folder: tempfile::tempdir().unwrap(), shared: None }, server, clock)
    }

    /// A database on a separate server, whose settings the test may change.
    pub(crate) async fn alone(kind: Kind) -> (Self, Server) {
        let home = home(&uuid::Uuid::new_v4().simple().to_string());
        let server = start(kind, &home, |script| {
            script.arg("once");
        });
        let url = create(&server.address).await;
        (Self { kind, url, folder: tempfile::tempdir().unwrap(), shared: None }, server)
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new(self.url.clone())
    }

    /// A store on it, without tables.
    pub(crate) fn bare_store(&self) -> Store {
        Store::connect(&self.options()).unwrap()
    }

    /// A store on it, with its tables.
    pub(crate) async fn store(&self) -> Store {
        let is_filled = template::fill(self.kind, &self.url, self.shared).await;
        let store = self.bare_store();
        if !is_filled {
            store.migrate(&self.options()).await.unwrap();
        }
        store
    }

    /// A connection as an application has one.
    pub(crate) async fn application(&self) -> DatabaseConnection {
        if self.kind == Kind::Sqlite {
            File::options().append(true).create(true).open(self.folder.path().join("sexton.db")).unwrap();
        }
        let mut options = sea_orm::ConnectOptions::new(self.url.clone());
        options.max_connections(if self.kind == Kind::Sqlite { 1 } else { 4 }).sqlx_logging(false);
        SeaOrm::connect(options).await.unwrap()
    }
}

fn server(kind: Kind) -> &'static str {
    static POSTGRES: OnceLock<Server> = OnceLock::new();
    static MARIADB: OnceLock<Server> = OnceLock::new();
    static MYSQL: OnceLock<Server> = OnceLock::new();
    let known = match kind {
        Kind::MySql => &MYSQL,
        Kind::MariaDb => &MARIADB,
        Kind::Sqlite | Kind::Postgres => &POSTGRES,
    };
    &known.get_or_init(|| start(kind, &home(kind.server()), |_| {})).address
}

/// Starts a server, or uses the running one of that directory.
fn start(kind: Kind, home: &Path, prepare: impl FnOnce(&mut Command)) -> Server {
    std::fs::create_dir_all(home).unwrap();
    // Before the start, so that the server never appears to be unused.
    let users = File::options().create(true).append(true).open(home.join("users")).unwrap();
    let in_use = Flock::lock(users, FlockArg::LockSharedNonblock).unwrap_or_else(|(file, _)| {
        Flock::lock(file, FlockArg::LockShared).unwrap_or_else(|(_, error)| panic!("{error}"))
    });
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server"));
    prepare(script.arg(kind.server()).arg(home));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Server { address: String::from_utf8(output.stdout).unwrap().trim().to_owned(), _in_use: in_use }
}

/// A directory that the server's user can enter; the target directory may be closed to it.
pub(super) fn home(kind: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sexton-tests-{}-{kind}", nix::unistd::getuid()))
}

async fn create(address: &str) -> String {
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let server = SeaOrm::connect(address).await.unwrap();
    server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (before, _) = address.rsplit_once('/').unwrap();
    format!("{before}/{name}")
}
