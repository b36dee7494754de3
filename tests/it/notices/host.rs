//! Problems of one machine: a disk that is nearly full, a configuration that is refused.

use std::fs;

use sexton::store::ProblemFilter;
use sexton_entities::{
    problem,
    states::{ProblemKind, ProblemState},
};

use crate::support::{Daemon, Database, Kind, Mounted, block_on, eventually, on_each_database, sexton};

const SETTINGS: &str = "heartbeat = \"200ms\"\nreload_debounce = \"100ms\"\n[task.fine]\nkind = \"noop\"\n";

async fn latest(database: &Database, kind: ProblemKind) -> Option<problem::Model> {
    let filter = ProblemFilter { with_closed: true, kind: Some(kind), limit: 9, ..ProblemFilter::default() };
    let mut found = database.bare_store().problems(&filter).await.unwrap();
    assert!(found.len() <= 1, "{found:#?}");
    found.pop()
}

async fn is(database: &Database, kind: ProblemKind, state: ProblemState) -> bool {
    latest(database, kind).await.is_some_and(|row| row.state == state)
}

on_each_database! {
    async fn a_refused_configuration_is_a_problem_until_a_good_one_is_loaded(database: Database) {
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        let good = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{good}\n[task.bad]\nkind = \"nonsense\"\n")).unwrap();
        eventually("it is open", async || is(&database, ProblemKind::Configuration, ProblemState::Open).await).await;
        let row = latest(&database, ProblemKind::Configuration).await.unwrap();
        assert_eq!((row.name.as_str(), row.node.as_deref(), row.times), ("n", Some("n"), 1), "{row:#?}");
        assert!(row.what.starts_with("the new configuration is refused, and the old one stays in force:\n"), "{}", row.what);
        assert!(row.what.contains("nonsense"), "{}", row.what);
        fs::write(&file, &good).unwrap();
        eventually("it is closed", async || is(&database, ProblemKind::Configuration, ProblemState::Closed).await).await;

        // A daemon that starts with a good configuration closes what an earlier one left open.
        fs::write(&file, format!("{good}\n[task.bad]\nkind = \"other\"\n")).unwrap();
        eventually("it is open again", async || is(&database, ProblemKind::Configuration, ProblemState::Open).await).await;
        daemon.stop();
        assert!(is(&database, ProblemKind::Configuration, ProblemState::Open).await);
        fs::write(&file, &good).unwrap();
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it is over", async || is(&database, ProblemKind::Configuration, ProblemState::Closed).await).await;
        daemon.stop();
    }
}

async fn a_disk_that_fills(kind: Kind) {
    let database = Database::new(kind).await;
    let file = database.config("n", SETTINGS);
    let state = database.folder.path().join("n/state");
    fs::create_dir_all(&state).unwrap();
    let _mounted = Mounted::new(&state, "tmpfs", "size=40m,mode=0700");
    let large = state.join("large");
    fs::write(&large, vec![0; 37 << 20]).unwrap();
    let daemon = Daemon::start(&file, &["run"]);
    eventually("it is open", async || is(&database, ProblemKind::Disk, ProblemState::Open).await).await;
    let row = latest(&database, ProblemKind::Disk).await.unwrap();
    assert_eq!((row.name.as_str(), row.node.as_deref()), (&*format!("n:{}", state.display()), Some("n")));
    assert!(
        row.what.contains("(daemon.state_dir, daemon.run_dir") && row.what.contains("of 40.0 MiB are free"),
        "{}",
        row.what
    );
    assert!(row.what.contains(" is nearly full: "), "{}", row.what);
    let shown = sexton(&file).args(["problem", "list", "--kind", "disk"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("disk"), "{shown:?}");
    fs::remove_file(&large).unwrap();
    eventually("it is closed", async || is(&database, ProblemKind::Disk, ProblemState::Closed).await).await;
    daemon.stop();
}

#[test]
fn a_disk_that_fills_is_a_problem_until_there_is_room_on_sqlite() {
    block_on(a_disk_that_fills(Kind::Sqlite));
}

#[test]
fn a_disk_that_fills_is_a_problem_until_there_is_room_on_postgres() {
    block_on(a_disk_that_fills(Kind::Postgres));
}
