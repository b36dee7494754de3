//! Metrics: over the control socket, at an address, and in a file.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, on_each_database, sexton};

const TASKS: &str = "[task.fine]\nkind = \"noop\"\n[task.fail]\ncommand = [\"false\"]\n\
                     [task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n\
                     [task.later]\nkind = \"noop\"\nqueue = \"slow\"\n";

/// Sends a request; returns head and body.
fn get(mut stream: impl std::io::Read + std::io::Write, path: &str, more: &str) -> (String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn of_socket(file: &Path) -> String {
    let socket = file.with_file_name("state").join("run").join("control.sock");
    let (head, body) = get(UnixStream::connect(socket).unwrap(), "/metrics", "");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    body
}

/// Checks the text, and returns its samples. `is_open` says whether it is OpenMetrics.
fn samples(text: &str, is_open: bool) -> HashMap<String, f64> {
    assert_eq!(text.ends_with("# EOF\n"), is_open, "{text}");
    let (mut kinds, mut helps, mut samples) = (HashMap::new(), HashSet::new(), HashMap::new());
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(description) = line.strip_prefix("# ") {
            let mut words = description.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(name.starts_with("sexton_") && !rest.is_empty(), "{line}");
            match what {
                "HELP" => assert!(helps.insert(name.to_owned()), "twice: {line}"),
                "TYPE" => assert_eq!(kinds.insert(name.to_owned(), rest.to_owned()), None, "twice: {line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let of = |suffix: &str| name.strip_suffix(suffix).and_then(|stem| kinds.get(stem)).map(String::as_str);
        let is_known = match is_open {
            true => of("_total") == Some("counter") || kinds.get(name).is_some_and(|kind| kind == "gauge"),
            false => {
                kinds.get(name).is_some_and(|kind| kind == "gauge" || kind == "counter" && name.ends_with("_total"))
            }
        };
        let is_histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| of(suffix) == Some("histogram"));
        assert!(is_known || is_histogram, "no type: {line}");
        assert!(!series.contains('{') || series.ends_with("\"}"), "{line}");
        assert_eq!(samples.insert(series.to_owned(), value.parse().unwrap()), None, "twice: {line}");
    }
    assert_eq!(helps.len(), kinds.len());
    for (series, count) in
        samples.iter().filter(|(series, _)| series.contains("_seconds_count") || series.contains("_bytes_count"))
    {
        let labels = series.split_once('{').unwrap().1.trim_end_matches('}');
        let last = format!("{}_bucket{{le=\"+Inf\",{labels}}}", series.split("_count").next().unwrap());
        assert_eq!(samples.get(&last), Some(count), "{last}");
    }
    samples
}

on_each_database! {
    async fn the_control_socket_says_what_the_daemon_does(database: Database) {
        let file = database.config("n", &format!("heartbeat = \"200ms\"\n[queue.slow]\nworkers = 3\n\
            [queue.mail]\nworkers = 1\nrate = \"1/1h\"\n[task.letter]\nkind = \"noop\"\nqueue = \"mail\"\n{TASKS}"));
        let daemon = Daemon::start(&file, &["run"]);
        let store = database.bare_store();
        store.pause_queue(&"slow".into(), true).await.unwrap();
        for task in ["fine", "fine", "fail", "later", "letter", "letter"] {
            assert!(sexton(&file).args(["task", "add", task]).output().unwrap().status.success());
        }
        let duration = |task: &str, outcome: &str| format!("sexton_task_duration_seconds_count{{task=\"{task}\",outcome=\"{outcome}\"}}");
        eventually("the attempts are counted, and the database has been asked since", async || {
            let found = samples(&of_socket(&file), true);
            found.get(&duration("fine", "succeeded")) == Some(&2.0) && found.get(&duration("fail", "failed")) == Some(&1.0)
                && found.get(&duration("tick", "succeeded")).is_some_and(|count| *count >= 1.0)
                && found.get("sexton_queue_tasks{queue=\"slow\",state=\"waiting\"}") == Some(&1.0)
                && found.get("sexton_open_problems").is_some_and(|count| *count >= 1.0)
                && found.get("sexton_rate_tokens{of=\"queue\",name=\"mail\"}") == Some(&0.0)
                && found.get("sexton_queue_tasks{queue=\"mail\",state=\"waiting\"}") == Some(&1.0)
        }).await;
        let status = sexton(&file).args(["status", "--json"]).output().unwrap().json();
        assert_eq!(status["daemon"]["rate_waits"][0]["queue"], "mail", "{status:#}");
        let shown = String::from_utf8(sexton(&file).arg("status").output().unwrap().stdout).unwrap();
        assert!(shown.contains("mail has used up a rate: the next task may begin in "), "{shown}");
        let found = samples(&of_socket(&file), true);
        let value = |series: &str| *found.get(series).unwrap_or_else(|| panic!("{series}: {found:#?}"));
        assert!(value("sexton_claims_total") >= 4.0 && value("sexton_statements_total") > 10.0);
        for operation in ["enqueue", "claim", "finish", "heartbeat", "schedule"] {
            let of = |metric: &str| value(&format!("{metric}_total{{operation=\"{operation}\"}}"));
            assert!(operation == "enqueue" || of("sexton_operations") >= 1.0 && of("sexton_operation_seconds") > 0.0, "{operation}");
        }
        assert!(value("sexton_statement_seconds_total") > 0.0);
        assert!(value("sexton_command_cpu_seconds_total{task=\"fail\",mode=\"user\"}") >= 0.0);
        assert_eq!(value("sexton_command_peak_memory_bytes_count{task=\"fail\"}"), 1.0);
        assert!(!found.contains_key("sexton_command_peak_memory_bytes_count{task=\"fine\"}"), "it is no command");
        assert!(value("sexton_schedule_delay_seconds_count{task=\"tick\"}") >= 1.0);
        assert!(value("sexton_lease_left_seconds") > 0.0 && value("sexton_queue_oldest_seconds{queue=\"slow\"}") >= 0.0);
        assert_eq!((value("sexton_database_up"), value("sexton_nodes"), value("sexton_spool_files")), (1.0, 1.0, 0.0));
        assert_eq!((value("sexton_workers{queue=\"slow\"}"), value("sexton_busy_workers{queue=\"slow\"}")), (3.0, 0.0));
        assert_eq!((value("sexton_module_up{module=\"cron\"}"), value("sexton_module_failures_total{module=\"cron\"}")), (1.0, 0.0));
        assert!(found.keys().any(|series| series.starts_with("sexton_build_info{version=\"")));
        daemon.stop();
    }
}

#[test]
fn an_address_and_a_file_offer_the_same() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let shown = database.folder.path().join("sexton.prom");
        let settings =
            |rest: &str| format!("[metrics]\nlisten = \"{address}\"\n[module.metrics]\ninterval = \"100ms\"\n{rest}");
        let file = database.config("n", &settings(TASKS));
        let daemon = Daemon::start(&file, &["run"]);
        daemon.wait_for_log(&format!("metrics cannot be offered at {address}: "));
        let status = sexton(&file).args(["status", "--json"]).output().unwrap().json();
        assert!(status["daemon"]["isolated"][0].as_str().unwrap().contains(&address.to_string()), "{status:#}");
        drop(taken);
        daemon.wait_for_log(&format!("offering metrics at http://{address}/metrics"));
        let status = sexton(&file).args(["status", "--json"]).output().unwrap().json();
        assert_eq!(status["daemon"]["isolated_count"], 0, "it works now: {status:#}");
        let ask = |path: &str, more: &str| get(TcpStream::connect(address).unwrap(), path, more);
        let (head, body) = ask("/metrics", "");
        assert!(head.contains("application/openmetrics-text"), "{head}");
        let open: HashSet<String> = samples(&body, true).into_keys().collect();
        let (head, body) = ask("/metrics", "Accept: text/plain\r\n");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        let plain: HashSet<String> = samples(&body, false).into_keys().collect();
        assert!(open.is_subset(&plain), "{open:#?}\n{plain:#?}");
        assert!(ask("/status", "").0.starts_with("HTTP/1.1 404 "), "nothing else of the daemon is offered there");
        // A reload opens and closes the address, and begins the file.
        let text = fs::read_to_string(&file).unwrap();
        let listen = format!("listen = \"{address}\"");
        fs::write(&file, text.replace(&listen, &format!("file = \"{}\"", shown.display()))).unwrap();
        assert!(sexton(&file).arg("reload").output().unwrap().status.success());
        eventually("the file is written, and the address is closed", async || {
            shown.exists() && TcpStream::connect(address).is_err()
        })
        .await;
        samples(&fs::read_to_string(&shown).unwrap(), false);
        daemon.stop();
        let left: Vec<_> =
            fs::read_dir(database.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name == "sexton.prom.new"), "{left:?}");
    });
}

#[test]
fn wrong_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, "[metrics]\nlisten = \"localhost\"\nfile = \"/var/lib/metrics.txt\"\n").unwrap();
    let errors = sexton(&file).args(["config", "check"]).output().unwrap().errors();
    assert!(errors.contains("`localhost` is not an address with a port, such as 127.0.0.1:9464"), "{errors}");
    assert!(errors.contains("the textfile collector reads files only that end with .prom"), "{errors}");
}
