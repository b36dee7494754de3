//! The settings of `[worker.NAME]`: mistakes, and what is shown.

use crate::support::{Database, Kind, Printed, block_on, sexton};

#[test]
fn every_mistake_names_its_line_and_the_way_out() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let worker = "[worker.shop]\ncommand = [\"true\"]\n";
        for (settings, expected) in [
            (
                "[worker.shop]\nprocesses = 2".to_owned(),
                ":7: worker.shop: `command` is missing: the program that speaks the protocol",
            ),
            (
                "[module.worker_processes]\nenabled = false".to_owned(),
                ":8: module.worker_processes.enabled: without `worker_processes` no task of kind `worker` could be executed",
            ),
            ("[worker.shop]\ncommand = []".to_owned(), ":8: worker.shop.command: the program is missing"),
            (format!("{worker}processes = 0"), ":9: worker.shop.processes: 0 is out of range, expected 1 to 1000"),
            (format!("{worker}max_tasks = 0"), ":9: worker.shop.max_tasks: 0 is out of range"),
            (format!("{worker}max_memory = 5"), ":9: worker.shop.max_memory: 5 B is out of range"),
            (
                format!("{worker}stop_timeout = \"2m\""),
                ":9: worker.shop.stop_timeout: it is too long: the maximum is 1m",
            ),
            (
                format!("{worker}max_restart_delay = \"1ms\""),
                ":9: worker.shop.max_restart_delay: it must not be shorter",
            ),
            (
                format!("{worker}proceses = 2"),
                ":9: worker.shop.proceses: there is no such setting; did you mean `processes`?",
            ),
            (format!("{worker}[task.t]\nkind = \"worker\""), ":9: task.t: kind \"worker\" needs `worker = \"NAME\"`"),
            (
                format!("{worker}[task.t]\nkind = \"worker\"\nworker = \"shp\""),
                ":11: task.t.worker: there is no [worker.shp]; did you mean `shop`?",
            ),
            (
                format!("{worker}[task.t]\nkind = \"noop\"\nworker = \"shop\""),
                ":11: task.t.worker: this setting is one of kind \"worker\"",
            ),
            (
                format!("{worker}[task.t]\nkind = \"worker\"\nworker = \"shop\"\ncommand = [\"x\"]"),
                "`worker` conflicts with `command`: keep one of them",
            ),
        ] {
            let file = database.config("n", &settings);
            let checked = sexton(&file).args(["config", "check"]).output().unwrap();
            let told = checked.errors();
            assert_eq!(checked.status.code(), Some(78), "{settings}\n{told}");
            assert!(told.contains(expected), "{settings}\n{told}");
        }
        let settings = "[worker.shop]\ncommand = [\"no-such-program\"]\nmax_tasks = 5\nuser = \"no-such-user\"\n[task.t]\nkind = \"worker\"\nworker = \"shop\"";
        let file = database.config("n", settings);
        let checked = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(checked.status.success() && checked.errors().contains(":8: worker.shop.command: there is no program"));
        assert!(checked.errors().contains(":10: worker.shop.user: there is no user `no-such-user`"));
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert!(
            shown.contains("[worker.shop]") && shown.contains("max_tasks = 5") && shown.contains("worker = \"shop\""),
            "{shown}"
        );
    });
}
