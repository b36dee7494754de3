//! The SQLite file is deleted or replaced while the daemon has it open.

use std::{fs, path::Path};

use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask};

use super::{completed, history};
use crate::support::{Database, Kind, block_on, eventually};

const SETTINGS: &str = "heartbeat = \"200ms\"\nlease = \"10s\"\n[task.nothing]\nkind = \"noop\"\n";

fn remove(file: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", file.display()));
    }
}

/// A copy of the database beside it.
async fn copied(database: &Database) -> std::path::PathBuf {
    let copy = database.folder.path().join("copy.db");
    let sql = format!("VACUUM INTO '{}'", copy.display());
    database.store().await.connection().execute_unprepared(&sql).await.unwrap();
    copy
}

#[test]
fn a_deleted_file_is_waited_for() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.options().sqlite_file().unwrap();
        let copy = copied(&database).await;
        let daemon = database.daemon("n", SETTINGS);
        remove(&file);
        daemon.wait_for_log("was deleted or moved");
        assert!(!file.exists(), "nothing is made in its place");
        fs::rename(copy, &file).unwrap();
        let store = database.bare_store();
        let client = Client::new(store.clone());
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("it goes on", async || completed(&store).await == 1).await;
        daemon.stop();
    });
}

#[test]
fn another_database_in_its_place_is_served_after_a_restart() {
    block_on(async {
        let (database, other) = (Database::new(Kind::Sqlite).await, Database::new(Kind::Sqlite).await);
        other.store().await.database_id().await.unwrap();
        let (file, copy) = (database.options().sqlite_file().unwrap(), copied(&other).await);
        let daemon = database.daemon("n", SETTINGS);
        remove(&file);
        fs::rename(copy, &file).unwrap();
        daemon.wait_for_log("the daemon restarts itself: the database was replaced by another one");
        let store = database.bare_store();
        let client = Client::new(store.clone());
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("it is done there", async || completed(&store).await == 1).await;
        assert_eq!(history(&store).await.len(), 1);
        daemon.stop();
    });
}
