//! The foundation of the tests: throw-away databases, daemons, and waiting with a time limit.

mod daemon;
mod database;
pub(crate) mod document;
mod faulty_disk;
mod inside;
mod mail_server;
mod mounted;
mod preload;
mod proxy;
mod role;
mod template;
mod wall_clock;

use std::time::{Duration, Instant};

use sexton_entities::json_text::JsonText;

pub(crate) use self::{
    daemon::{Daemon, Printed, sexton},
    database::{Database, Kind},
    faulty_disk::FaultyDisk,
    inside::{Inside, add_module, blueprint, change_modules},
    mail_server::{MailFault, MailServer, accept},
    mounted::Mounted,
    proxy::Proxy,
    role::Role,
    wall_clock::WallClock,
};

/// Long enough for a loaded host, short enough to notice a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; fails with `what` after [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, &mut condition).await;
}

/// As [`eventually`], with another time limit.
pub(crate) async fn within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < end, "waited {patience:?} without success: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The value of a JSON text.
pub(crate) fn value(json: &Option<JsonText>) -> Option<serde_json::Value> {
    json.as_ref().map(|json| json.decode().unwrap())
}

/// Runs a test's body.
pub(crate) fn block_on<F: Future>(body: F) -> F::Output {
    actix_rt::System::new().block_on(body)
}

/// Makes four tests of each case: one on each database.
macro_rules! on_each_database {
    ($($(#[$attribute:meta])* async fn $name:ident($database:ident: Database) $body:block)+) => {
        $(async fn $name($database: $crate::support::Database) $body

        mod $name {
            use $crate::support::{Database, Kind, block_on};

            #[test]
            fn on_sqlite() {
                block_on(async { super::$name(Database::new(Kind::Sqlite).await).await });
            }

            #[test]
            fn on_postgres() {
                block_on(async { super::$name(Database::new(Kind::Postgres).await).await });
            }

            #[test]
            fn on_mariadb() {
                block_on(async { super::$name(Database::new(Kind::MariaDb).await).await });
            }

            #[test]
            fn on_mysql() {
                block_on(async { super::$name(Database::new(Kind::MySql).await).await });
            }
        })+
    };
}
pub(crate) use on_each_database;
