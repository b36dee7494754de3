//! Kind `shell`: a script of the configuration, which the payload reaches as data only.

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::{Outcome, Verdict};

use crate::{
    commands::{Stand, outcome_of, processes, unusual},
    support::{Database, Kind, Printed, block_on, eventually, on_each_database, sexton, value},
};

on_each_database! {
    async fn a_script_gets_the_payload_on_standard_input_and_in_variables(database: Database) {
        let settings = "[task.it]\nshell = [\"bash\", \"-euo\", \"pipefail\"]\npayload_env = { WHO = \"/who\" }\n\
                        script = '''\nline=$(cat)\necho \"$0 attempt $SEXTON_TASK_ATTEMPT for ${WHO}: $line\"\n\
                        echo '{\"result\": {\"sent\": 3}}' >&3\n'''";
        let mut stand = Stand::on(database, settings).await;
        let payload = json!({"who": "$(touch /tmp/never); `id` \"quoted\" 'x'"});
        let (row, output) = stand.run(Some(payload.clone())).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "{:?}", row.error);
        assert_eq!(row.kind.as_deref(), Some("shell"));
        let who = payload["who"].as_str().unwrap();
        let said = output.unwrap().stdout;
        assert!(said.starts_with(&format!("it attempt 1 for {who}: {{")), "it was not expanded: {said}");
        assert_eq!(value(&row.result), Some(json!({"sent": 3})));
        stand.stop();
    }
}

#[test]
fn the_shell_and_its_options_decide_what_fails() {
    block_on(async {
        let (row, output) = outcome_of("script = '''\necho one\nfalse\necho two\n'''", None).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(1)), "by default the first failure ends it");
        assert_eq!(output.unwrap().stdout, "one\n");
        let (row, _) = outcome_of("script = 'false | true'\nshell = [\"bash\", \"-euo\", \"pipefail\"]", None).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(1)));
        let python =
            "script = '''\nimport json, sys\nprint(json.load(sys.stdin)[\"n\"] + 1)\n'''\nshell = [\"python3\"]";
        let (row, output) = outcome_of(python, Some(json!({"n": 41}))).await;
        assert_eq!((row.outcome, output.unwrap().stdout.as_str()), (Outcome::Succeeded, "42\n"), "{:?}", row.error);
    });
}

#[test]
fn a_script_survives_its_daemon_and_ends_at_its_time_limit() {
    block_on(async {
        let (folder, marked) = (tempfile::tempdir().unwrap(), unusual());
        let go = folder.path().join("go");
        let body = format!("echo begun\nwhile [ ! -e {} ]; do sleep 0.05; done\necho ended", go.display());
        let settings = format!(
            "[task.it]\nscript = '''{body}'''\n[task.slow]\ntimeout = \"300ms\"\nkill_after = \"100ms\"\n\
             script = 'sleep {marked} & wait'"
        );
        let mut stand = Stand::new(&settings).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        let unique = go.display().to_string();
        eventually("it runs", async || !processes(&unique).is_empty()).await;
        stand.kill();
        stand.start();
        std::fs::write(&go, "").unwrap();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1));
        assert_eq!(stand.output(&row).await.unwrap().stdout, "begun\nended\n");
        let late = stand.enqueue(NewTask::new("slow")).await;
        assert_eq!(stand.finished(late).await.outcome, Outcome::TimedOut);
        eventually("its processes are gone", async || processes(&marked).is_empty()).await;
        stand.stop();
    });
}

#[test]
fn every_mistake_names_its_line_and_the_way_out() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        for (definition, line, expected) in [
            ("script = 'true'\ncommand = [\"true\"]", 8, "only one of `command` and `script` can be set"),
            ("kind = \"shell\"", 8, "kind \"shell\" needs `script = '''…'''`"),
            ("kind = \"noop\"\nscript = 'true'", 8, "`noop` conflicts with `script`: keep one of them"),
            ("kind = \"noop\"\nshell = [\"bash\"]", 9, "this setting needs a `script`"),
            ("script = ' '", 8, "the script is empty"),
            ("script = \"a\\u0000b\"", 8, "a script cannot contain NUL"),
            ("script = 'true'\nshell = []", 9, "the program is missing"),
            ("script = 'true'\nshell = [\"bash\", \"-c\"]", 9, "leave `-c` out"),
            ("script = 7", 8, "expected text, found an integer"),
            ("script = 'true'\nsuccess_codes = [256]", 9, "256 is out of range"),
        ] {
            let file = database.config("n", &format!("[task.it]\n{definition}"));
            let checked = sexton(&file).args(["config", "check"]).output().unwrap();
            let place = format!("sexton.toml:{line}: task.it.");
            let told = checked.errors();
            assert_eq!(checked.status.code(), Some(78), "{definition}\n{told}");
            assert!(told.lines().any(|told| told.contains(&place) && told.contains(expected)), "{definition}\n{told}");
        }
        let long = format!("[task.it]\nscript = '{}'", "x".repeat(131_072));
        let told = sexton(&database.config("n", &long)).args(["config", "check"]).output().unwrap().errors();
        assert!(told.contains("it has 131072 bytes, and a script may have 131071"), "{told}");
    });
}

#[test]
fn a_script_that_its_shell_cannot_read_is_a_warning_and_nothing_of_it_is_executed() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let touched = database.folder.path().join("touched");
        let script = format!("touch {}\nif true; then\n", touched.display());
        let settings = format!(
            "[task.bad]\nscript = '''{script}'''\n[task.gone]\nscript = 'true'\nshell = [\"no-such-shell\"]\n\
             [task.good]\nscript = '''{}'''",
            script.replace("if true; then", "true")
        );
        let file = database.config("n", &settings);
        let checked = sexton(&file).args(["config", "check"]).output().unwrap();
        let told = checked.errors();
        assert!(checked.status.success(), "{told}");
        assert!(told.contains("task.bad.script: the shell cannot read the script: bad: "), "{told}");
        assert!(told.contains("task.gone.shell: there is no program `no-such-shell` in PATH="), "{told}");
        assert!(!told.contains("task.good") && !touched.exists(), "{told}");
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert!(shown.contains("kind = \"shell\"") && shown.contains("shell = [\"sh\", \"-eu\"]"), "{shown}");
        assert!(!shown.contains("command = "), "{shown}");
        let again = database.folder.path().join("again.toml");
        std::fs::write(&again, shown).unwrap();
        let checked = sexton(&again).args(["config", "check"]).output().unwrap();
        assert!(checked.status.success(), "what is shown can be read back: {}", checked.errors());
    });
}
