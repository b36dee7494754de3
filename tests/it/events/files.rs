//! Files as events: `on_path`.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sexton::store::Store;
use sexton_client::NewEvent;
use sexton_entities::event;

use super::{SETTINGS, call, events, execute, json as answer, killed::die_at, refused};
use crate::{
    daemon::count,
    support::{Daemon, Database, Printed as _, eventually, on_each_database, sexton, value},
};

/// A folder for files, and the settings of a trigger on them.
fn incoming(database: &Database, more: &str) -> (PathBuf, String) {
    let folder = database.folder.path().join("incoming");
    fs::create_dir_all(&folder).unwrap();
    let settings = of_folder(&folder, more);
    (folder, settings)
}

fn of_folder(folder: &Path, more: &str) -> String {
    format!("{SETTINGS}[trigger.import]\non_path = \"{}/*.csv\"\ntask = \"invoice\"\n{more}\n", folder.display())
}

fn payload(event: &event::Model) -> Value {
    value(&event.payload).unwrap()
}

/// The names of the files of which there are events.
async fn names(store: &Store) -> BTreeSet<String> {
    events(store).await.iter().map(|event| payload(event)["name"].as_str().unwrap().to_owned()).collect()
}

async fn seen(store: &Store, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    eventually(&format!("the files {expected:?} are seen"), async || names(store).await.is_superset(&expected)).await;
    assert_eq!(names(store).await, expected);
}

on_each_database! {
    async fn a_file_is_one_task_wherever_its_daemon_is_killed(database: Database) {
        let store = database.store().await;
        let (folder, settings) = incoming(&database, "settle = \"20ms\"");
        let file = database.config("n", &settings);
        fs::write(folder.join("a.csv"), "1").unwrap();
        for (number, step) in ["files due", "files sent", "events due", "events taken"].into_iter().enumerate() {
            let (path, at) = (file.clone(), step.to_owned());
            fs::write(folder.join(format!("{number}.csv")), "1").unwrap();
            tokio::task::spawn_blocking(move || die_at(&path, &at)).await.unwrap();
        }
        let daemon = Daemon::start(&file, &["run"]);
        let done = "COUNT(*) FROM sexton_event WHERE state = 'consumed'";
        eventually("all are tasks", async || count(&store, done).await == 5).await;
        daemon.stop();
        let daemon = Daemon::start(&file, &["run"]);
        fs::write(folder.join("last.csv"), "1").unwrap();
        eventually("the last one is a task", async || count(&store, done).await == 6).await;
        daemon.stop();
        assert_eq!(count(&store, "COUNT(*) FROM sexton_event").await, 6, "no file is two events");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 6);
        assert_eq!(count(&store, "COUNT(DISTINCT event_key) FROM sexton_event").await, 6);
    }

    async fn a_file_is_taken_when_it_has_settled(database: Database) {
        let store = database.store().await;
        let (folder, settings) = incoming(&database, "settle = \"300ms\"\npayload = { file = \"$.path\" }");
        let daemon = database.daemon("n", &settings);
        let mut upload = File::create(folder.join("a.csv")).unwrap();
        for _ in 0..30 {
            upload.write_all(b"0123456789").unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let whole = async || events(&store).await.iter().any(|event| payload(event)["size"] == 300);
        eventually("the whole file is an event", whole).await;
        for event in events(&store).await {
            let modified: DateTime<Utc> = payload(&event)["modified"].as_str().unwrap().parse().unwrap();
            // The kernel takes the time of a write from its last tick.
            assert!(event.created_at - modified >= TimeDelta::milliseconds(280), "{event:?}");
            assert_eq!(payload(&event)["node"], "n");
        }
        let made = "COUNT(*) FROM sexton_event_trigger WHERE fate = 'enqueued' AND trigger_name = 'import'";
        let sent = events(&store).await.len() as i64;
        eventually("each is a task", async || count(&store, made).await == sent).await;
        let task = answer(&database.folder.path().join("n/sexton.toml"), &["task", "list", "--json"])[0].clone();
        let file = folder.join("a.csv");
        assert_eq!(task["payload"]["file"], file.to_str().unwrap(), "{task}");
        daemon.stop();
    }

    async fn only_files_of_these_names_are_taken(database: Database) {
        let store = database.store().await;
        let (folder, settings) = incoming(&database, "settle = \"20ms\"");
        let outside = database.folder.path().join("secret");
        fs::write(&outside, "secret").unwrap();
        symlink(&outside, folder.join("link.csv")).unwrap();
        fs::write(folder.join("before.csv"), "1").unwrap();
        let daemon = database.daemon("n", &settings);
        seen(&store, &["before.csv"]).await;
        symlink(&outside, folder.join("later-link.csv")).unwrap();
        fs::create_dir(folder.join("folder.csv")).unwrap();
        fs::write(folder.join(".hidden.csv"), "1").unwrap();
        fs::write(folder.join("other.txt"), "1").unwrap();
        fs::write(folder.join("upload.part"), "12").unwrap();
        fs::write(folder.join(OsStr::from_bytes(b"caf\xe9.csv")), "1").unwrap();
        fs::rename(folder.join("upload.part"), folder.join("upload.csv")).unwrap();
        seen(&store, &["before.csv", "caf\u{fffd}.csv", "upload.csv"]).await;
        let odd = events(&store).await.iter().map(payload).find(|payload| payload.get("path_hex").is_some()).unwrap();
        assert!(odd["path_hex"].as_str().unwrap().ends_with("636166e92e637376"), "{odd}");
        fs::write(folder.join("last.csv"), "1").unwrap();
        seen(&store, &["before.csv", "caf\u{fffd}.csv", "last.csv", "upload.csv"]).await;
        daemon.stop();
    }

    async fn each_moment_has_its_events(database: Database) {
        let store = database.store().await;
        let (folder, created) = incoming(&database, "path_event = \"created\"");
        let settings = format!(
            "{created}[trigger.changes]\non_path = [\"{0}/*.csv\", \"{0}/flag\"]\npath_event = \"changed\"\ntask = \"mail\"\n",
            folder.display()
        );
        let daemon = database.daemon("n", &settings);
        let of = async |name: &str| {
            let all = events(&store).await;
            all.into_iter().filter(|event| event.name == name).map(|event| payload(&event)).collect::<Vec<_>>()
        };
        fs::write(folder.join("a.csv"), "1").unwrap();
        eventually("it is seen", async || of("path.import").await.len() == 1 && !of("path.changes").await.is_empty()).await;
        fs::write(folder.join("a.csv"), "12345").unwrap();
        fs::write(folder.join("flag"), "").unwrap();
        eventually("the change is seen", async || {
            let changes = of("path.changes").await;
            changes.iter().any(|payload| payload["size"] == 5) && changes.iter().any(|payload| payload["name"] == "flag")
        }).await;
        daemon.stop();
        assert_eq!(of("path.import").await.len(), 1, "it was created once");
        // A file in its place is another one.
        fs::write(folder.join("new"), "1").unwrap();
        fs::rename(folder.join("new"), folder.join("a.csv")).unwrap();
        let daemon = Daemon::start(&database.folder.path().join("n/sexton.toml"), &["run"]);
        eventually("the new file is seen", async || of("path.import").await.len() == 2).await;
        daemon.stop();
    }

    async fn a_shared_folder_is_one_event_in_the_cluster(database: Database) {
        let store = database.store().await;
        let (folder, shared) = incoming(&database, "settle = \"50ms\"\nshared = true");
        let own = database.folder.path().join("own");
        fs::create_dir(&own).unwrap();
        let settings =
            format!("{shared}[trigger.own]\non_path = \"{}/*\"\nsettle = \"50ms\"\ntask = \"mail\"\n", own.display());
        let daemons = ["a", "b"].map(|name| database.daemon(name, &settings));
        for number in 0..20 {
            fs::write(folder.join(format!("{number}.csv")), "1").unwrap();
            fs::write(own.join(format!("{number}.csv")), "1").unwrap();
        }
        let of = async |name: &str| count(&store, &format!("COUNT(*) FROM sexton_event WHERE name = 'path.{name}'")).await;
        eventually("each node sees its own files", async || of("own").await == 40 && of("import").await == 20).await;
        for daemon in daemons {
            daemon.stop();
        }
        assert_eq!((of("own").await, of("import").await), (40, 20));
    }

    async fn a_folder_that_is_not_there_is_said_and_looked_for(database: Database) {
        let store = database.store().await;
        let folder = database.folder.path().join("incoming");
        let good = database.folder.path().join("good");
        fs::create_dir(&good).unwrap();
        let settings = of_folder(&folder, "settle = \"20ms\"")
            + &format!("[trigger.good]\non_path = \"{}/*.csv\"\nsettle = \"20ms\"\ntask = \"mail\"\n", good.display());
        let daemon = database.daemon("n", &settings);
        let file = database.folder.path().join("n/sexton.toml");
        let show = ["trigger", "show", "import"];
        eventually("the trigger is entered", async || sexton(&file).args(show).output().unwrap().status.success()).await;
        let trouble = async || answer(&file, &["trigger", "show", "import", "--json"])[0]["trouble"].clone();
        let is_in_status = || sexton(&file).arg("status").output().unwrap().text().contains("there is no such folder");
        eventually("the trouble is entered", async || trouble().await.is_string()).await;
        let why = format!("{}: there is no such folder; it is looked for every 5s", folder.display());
        assert_eq!(trouble().await, why);
        let shown = call(&file, &["trigger", "show", "import"]).text();
        assert!(shown.contains(&format!("trouble: {why}")) && shown.contains("stayed the same for 20ms"), "{shown}");
        assert!(call(&file, &["trigger", "list"]).text().contains("trouble"));
        eventually("the status says it", async || is_in_status()).await;
        assert!(refused(&file, &["trigger", "show", "imprt"]).contains("did you mean `import`?"));
        fs::write(good.join("good.csv"), "1").unwrap();
        seen(&store, &["good.csv"]).await;
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.csv"), "1").unwrap();
        seen(&store, &["a.csv", "good.csv"]).await;
        eventually("the trouble is over", async || trouble().await.is_null()).await;
        eventually("the status does not say it any more", async || !is_in_status()).await;
        fs::remove_dir_all(&folder).unwrap();
        eventually("the trouble is back", async || trouble().await.is_string()).await;
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("b.csv"), "1").unwrap();
        seen(&store, &["a.csv", "b.csv", "good.csv"]).await;
        // Another folder comes to its place, faster than anything can look.
        fs::rename(&folder, folder.with_extension("old")).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("c.csv"), "1").unwrap();
        seen(&store, &["a.csv", "b.csv", "c.csv", "good.csv"]).await;
        fs::write(folder.join("d.csv"), "1").unwrap();
        seen(&store, &["a.csv", "b.csv", "c.csv", "d.csv", "good.csv"]).await;
        daemon.stop();
    }

    async fn many_files_at_once_are_one_event_each(database: Database) {
        let store = database.store().await;
        let (folder, settings) = incoming(&database, "settle = \"20ms\"\nwhen = \"$.size > 5\"");
        let daemon = database.daemon("n", &settings);
        for number in 0..1_500 {
            fs::write(folder.join(format!("{number}.csv")), "1").unwrap();
        }
        let sent = async || count(&store, "COUNT(*) FROM sexton_event WHERE state = 'consumed'").await;
        eventually("all are dealt with", async || sent().await == 1_500).await;
        daemon.stop();
        assert_eq!(names(&store).await.len(), 1_500);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_event").await, 1_500);
    }

    async fn run_once_waits_for_files_to_settle(database: Database) {
        let store = database.store().await;
        let folder = database.folder.path().join("incoming");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.csv"), "1").unwrap();
        let settings = format!(
            "[task.import]\nkind = \"noop\"\n[trigger.import]\non_path = \"{}/*.csv\"\nsettle = \"300ms\"\ntask = \"import\"\n",
            folder.display()
        );
        let file = database.config("n", &settings);
        let output = sexton(&file).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history WHERE name = 'import'").await, 1);
    }

    async fn an_event_is_kept_while_its_file_is_there(database: Database) {
        let store = database.store().await;
        let event = |name: &str| NewEvent::new("path.t").payload(1).key(name);
        let (gone, there) = (event("gone"), event("there"));
        let bad = NewEvent::new("no name").key("bad");
        let refused = store.send_file_events(&[gone, bad, there.clone()], || ()).await.unwrap();
        assert_eq!(refused.len(), 1, "one that cannot be sent keeps no other back");
        assert!(refused[0].0 == "bad" && refused[0].1.contains("no name"), "{refused:?}");
        execute(&store, "UPDATE sexton_event SET created_at = '2026-01-01 00:00:00', seen_at = '2026-01-01 00:00:00'").await;
        store.send_file_events(std::slice::from_ref(&there), || ()).await.unwrap();
        assert_eq!(store.prune_events(Duration::from_secs(3_600), async |_| true).await.unwrap(), 1);
        let left = events(&store).await;
        assert_eq!((left.len(), left[0].event_key.as_deref()), (1, Some("there")));
    }
}
