//! `sexton sweep`.

use super::{SETTINGS, json, numbers, round, sweep, tasks, with_customers};
use crate::support::{Daemon, Printed as _, on_each_database, sexton};

on_each_database! {
    async fn a_dry_run_changes_nothing(database: Database) {
        let store = with_customers(&database, 4).await;
        let file = database.config("n", &sweep("limit = 3"));
        let shown = json(&file, &["sweep", "run", "old", "--dry-run", "-n", "2"]);
        assert_eq!((&shown["found"], &shown["would_enqueue"], &shown["left_over"]), (&3.into(), &3.into(), &true.into()));
        assert_eq!(shown["rows"].as_array().unwrap().len(), 2);
        assert_eq!(shown["rows"][0]["payload"]["id"], 1);
        assert!(tasks(&store).await.is_empty());
        let daemon = Daemon::start(&file, &["run"]);
        assert_eq!(numbers(&round(&store, &file, &[]).await), (3, 3, 0, 0, true));
        let again = json(&file, &["sweep", "run", "old", "--dry-run"]);
        assert_eq!((&again["would_enqueue"], &again["already_there"]), (&0.into(), &3.into()));
        let output = sexton(&file).args(["sweep", "run", "old", "--dry-run"]).output().unwrap();
        let last = "3 rows found, and more that this round does not take: 0 tasks would be enqueued, 3 there already, \
                    0 refused. Nothing was enqueued.\n";
        assert!(output.text().ends_with(last), "{}", output.text());
        let listed = json(&file, &["sweep", "list"]);
        assert_eq!(listed[0]["rounds"][0]["result"]["enqueued"], 3);
        let text = sexton(&file).args(["sweep", "list"]).output().unwrap().text();
        assert!(text.contains("old") && text.contains("remind"), "{text}");
        let text = sexton(&file).args(["sweep", "show", "old"]).output().unwrap().text();
        assert!(text.starts_with("Sweep old: a task remind of each row, key id\nSELECT id, email FROM customer ORDER BY id\n"), "{text}");
        daemon.stop();
    }

    async fn an_unknown_sweep_is_named(database: Database) {
        database.store().await;
        let file = database.config("n", &format!("{SETTINGS}[sweep.old]\nselect = \"SELECT 1 AS id\"\ntask = \"remind\"\nkey = \"id\"\n"));
        let output = sexton(&file).args(["sweep", "show", "odl"]).output().unwrap();
        assert!(output.errors().contains("there is no sweep `odl`; did you mean `old`?"), "{}", output.errors());
        let checked = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(checked.status.success(), "{}", checked.errors());
    }
}
