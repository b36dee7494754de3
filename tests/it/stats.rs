//! `sexton stats`.

use crate::support::{Database, Kind, Printed as _, block_on, sexton};

#[test]
fn figures_are_shown_by_task_and_by_day() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let tasks = "[task.fine]\nkind = \"noop\"\n[task.fail]\ncommand = [\"false\"]\n";
        let file = database.config("n", tasks);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        assert!(call(&["db", "migrate"]).status.success());
        assert_eq!(call(&["stats"]).text(), "No attempt has ended since then.\n");
        for task in ["fine", "fine", "fine", "fail"] {
            assert!(call(&["task", "add", task]).status.success());
        }
        assert_eq!(call(&["run", "--once"]).status.code(), Some(1), "a task failed");
        let rows = call(&["stats", "--since", "1d", "--json"]).json();
        let (fail, fine) = (&rows[0], &rows[1]);
        assert_eq!(
            (fail["task"].as_str(), fail["runs"].as_i64(), fail["failed"].as_i64()),
            (Some("fail"), Some(1), Some(1))
        );
        assert_eq!((fail["failed_percent"].as_f64(), fail["day"].is_null()), (Some(100.0), true));
        assert_eq!((fine["runs"].as_i64(), fine["failed"].as_i64()), (Some(3), Some(0)));
        assert!(fine["median_ms"].is_i64() && fine["p95_ms"].is_i64() && fine["longest_ms"].is_i64());
        let by_day: Vec<i64> =
            fine["runs_by_day"].as_array().unwrap().iter().map(|runs| runs.as_i64().unwrap()).collect();
        assert_eq!((by_day.len(), by_day.iter().sum::<i64>()), (2, 3));
        let days = call(&["stats", "fine", "--json"]).json();
        let runs = days.as_array().unwrap().iter().map(|day| day["runs"].as_i64().unwrap());
        assert_eq!(runs.sum::<i64>(), 3);
        assert!(days[0]["day"].as_str().is_some_and(|day| day.len() == 10));
        let table = call(&["stats"]).text();
        assert!(table.contains("fail") && table.contains("100.0 %"), "{table}");
        let drawn = sexton(&file).arg("stats").env("COLUMNS", "100").output().unwrap().text();
        assert!(drawn.contains('█'), "{drawn}");
        let unknown = call(&["stats", "fien"]);
        assert!(
            unknown.errors().contains("there is no task definition `fien`; did you mean `fine`?"),
            "{}",
            unknown.errors()
        );
    });
}
