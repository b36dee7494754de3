//! Tables at 80 columns, colours, time zones, and text that must not control the terminal.

use std::path::Path;

use sea_orm::ConnectionTrait as _;

use super::{call, text};
use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, sexton};

/// A program's title, a name and an error that would clear the screen, ring the bell and reorder the line.
const NASTY: &str = "x\u{1b}[2Jy\u{7}\u{9b}5n\u{202e}z\nfake row";

fn is_clean(text: &str) -> bool {
    !text.contains(|letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}')
}

async fn plant(store: &sexton::store::Store) {
    let nasty = NASTY.replace('\'', "''");
    for sql in [
        format!(
            "INSERT INTO sexton_task (name, queue, unique_key, progress) VALUES ('{nasty}', '{nasty}', 'nasty', '{{\"text\": \"\\u001b[2J\"}}')"
        ),
        format!(
            "INSERT INTO sexton_history (task_id, name, queue, node, outcome, verdict, error) VALUES (4711, '{nasty}', '{nasty}', '{nasty}', 'failed', 'discarded', '{nasty}')"
        ),
        format!(
            "INSERT INTO sexton_output (history_id, stdout, stderr, truncated) SELECT id, '{nasty}', '{nasty}', false FROM sexton_history WHERE task_id = 4711"
        ),
    ] {
        store.connection().execute_unprepared(&sql).await.unwrap();
    }
}

#[test]
fn nothing_that_is_printed_controls_the_terminal() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.slow]\ncommand = [\"sh\", \"-c\", \"sleep 600 # \\u001b[2J\\u0007\\u009b5n\"]";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run"]);
        let store = database.bare_store();
        plant(&store).await;
        let slow = text(&file, &["task", "add", "slow"]);
        eventually("the command runs", async || text(&file, &["status"]).contains("sleep 600 #")).await;
        for arguments in [
            &["task", "list"][..],
            &["task", "show", "1"],
            &["task", "show", "4711"],
            &["task", "log", "4711"],
            &["history"],
            &["queue", "list"],
            &["summary"],
            &["status"],
            &["history", "--json"],
            &["task", "log", "4711", "--json"],
            &["status", "--json"],
            &["queue", "pause", NASTY],
            &["task", "add", NASTY],
            &["history", "--schedule", NASTY],
            &["summary", NASTY],
        ] {
            let output = call(&file, arguments);
            let printed = output.text() + &output.errors();
            assert!(is_clean(&printed), "{arguments:?}: {printed:?}");
            assert!(printed.contains("\\u{1b}[2J") || printed.contains("\\u001b[2J"), "{arguments:?}: {printed}");
        }
        let kept = text(&file, &["task", "log", "4711", "--raw"]);
        assert!(kept.contains(NASTY), "{kept:?}");
        assert!(!text(&file, &["history"]).contains("\nfake row"), "a row cannot imitate another one");
        assert!(text(&file, &["task", "cancel", slow.split(' ').nth(1).unwrap()]).contains("its node will stop it"));
        daemon.stop();
    });
}

/// Prepares a database with every kind of row.
async fn furnished(settings: &str) -> (Database, std::path::PathBuf) {
    let database = Database::new(Kind::Sqlite).await;
    let file = database.config("a-node-with-a-long-name", settings);
    assert!(call(&file, &["run", "--once"]).status.success());
    assert!(call(&file, &["task", "add", "invoice-send-reminders"]).status.success());
    assert_eq!(call(&file, &["run", "--once"]).status.code(), Some(1), "the task fails");
    assert!(call(&file, &["task", "add", "invoice-send-reminders", "--at", "tomorrow 08:00"]).status.success());
    (database, file)
}

const INVOICES: &str = "[task.invoice-send-reminders]\nqueue = \"invoices-and-reminders\"\n\
     command = [\"sh\", \"-c\", \"echo 'PHP Warning: Undefined variable $x in /srv/shop/src/Command/Invoice/SendCommand.php on line 17' >&2; exit 255\"]\n\
     [task.nightly]\nkind = \"noop\"\nschedule = { cron = \"30 2 * * *\" }";

fn is_narrow(file: &Path, arguments: &[&str]) -> String {
    let printed = text(file, arguments);
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{arguments:?}:\n{printed}");
    printed
}

#[test]
fn tables_fit_80_columns_and_break_no_word() {
    block_on(async {
        let (_database, file) = furnished(INVOICES).await;
        let history = is_narrow(&file, &["history"]);
        for word in ["invoice-send-reminders", "failed", "Undefined", "variable", "SendCommand.php"] {
            assert!(history.contains(word), "{word} is not whole:\n{history}");
        }
        assert!(history.contains("no room for: "), "{history}");
        let tasks = is_narrow(&file, &["task", "list"]);
        assert!(tasks.contains("scheduled") && tasks.contains("08:00"), "{tasks}");
        for arguments in
            [&["summary"][..], &["queue", "list"], &["node", "list"], &["schedule", "list"], &["db", "status"]]
        {
            is_narrow(&file, arguments);
        }
        assert!(is_narrow(&file, &["schedule", "show", "nightly"]).contains("At 02:30 every day"));
        // A program that reads the output gets everything.
        let output = sexton(&file).env_remove("COLUMNS").arg("history").output().unwrap().text();
        assert!(output.contains("discarded") && output.contains("SendCommand.php on line 17"), "{output}");
    });
}

#[test]
fn failures_are_coloured_where_colours_are_wanted() {
    block_on(async {
        let (_database, file) = furnished(INVOICES).await;
        let printed = |variables: &[(&str, &str)]| {
            let mut command = sexton(&file);
            command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(variables.iter().copied()).arg("history");
            command.output().unwrap().text()
        };
        assert!(printed(&[("CLICOLOR_FORCE", "1")]).contains("\u{1b}["));
        assert!(!printed(&[]).contains('\u{1b}'), "a pipe is no terminal");
        assert!(!printed(&[("NO_COLOR", "1"), ("TERM", "xterm")]).contains('\u{1b}'));
    });
}

#[test]
fn times_are_those_of_the_reader() {
    block_on(async {
        let (_database, file) = furnished(INVOICES).await;
        // At 08:00 in Berlin it is 07:00 in UTC in winter, and 06:00 in summer.
        let tasks = text(&file, &["task", "list"]);
        assert!(tasks.contains(" 08:00 "), "{tasks}");
        let tasks = text(&file, &["task", "list", "--utc"]);
        assert!(tasks.contains(" 07:00Z ") || tasks.contains(" 06:00Z "), "{tasks}");
        let configured =
            std::fs::read_to_string(&file).unwrap().replacen("[daemon]\n", "[daemon]\ntimezone = \"Asia/Tokyo\"\n", 1);
        std::fs::write(&file, configured).unwrap();
        let tasks = text(&file, &["task", "list"]);
        assert!(
            tasks.contains(" 16:00 ") || tasks.contains(" 15:00 "),
            "the configuration counts more than TZ: {tasks}"
        );
        let refused = call(&file, &["history", "--since", "someday"]).errors();
        assert!(refused.contains("`someday` is not a time: write 15:56, `yesterday 22:00`, 2026-12-24"), "{refused}");
        for since in ["15:56", "yesterday 22:00", "2h", "2026-11-21T10:00:00+01:00"] {
            text(&file, &["history", "--since", since]);
        }
    });
}
