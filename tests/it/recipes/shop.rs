//! The shop of the recipes: a table of its own beside Sexton's, a role, and a daemon that runs the worker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use sexton::store::Store;
use sexton_entities::states::{Outcome, Verdict};

use crate::{
    daemon::history,
    support::{Daemon, Database, Kind, Printed as _, Role, document::block, eventually},
};

/// What would break a value that is spliced into SQL, JSON or a command line.
const TITLE: &str = "Müller's \"spring\" \\ $(sale) 100 % -- :x";
/// The worker sends three letters at a time.
const LETTERS: i64 = 5;

/// The programs of one page, and how they are run.
#[derive(Clone, Copy)]
pub(super) struct Recipe {
    /// The name of the page in `docs/recipes`.
    pub(super) page: &'static str,
    /// Succeeds if the interpreter and its drivers are there.
    pub(super) probe: &'static [&'static str],
    /// The packages of Debian that bring them.
    pub(super) packages: &'static str,
    /// What has to be done first with the programs.
    pub(super) compile: &'static [&'static [&'static str]],
    /// The mark of the program that enqueues, which ends with the name of its file, and its command line.
    pub(super) enqueue: (&'static str, &'static [&'static str]),
    /// The same of the worker.
    pub(super) worker: (&'static str, &'static [&'static str]),
}

/// A shop that has the programs of a recipe.
struct Shop {
    recipe: Recipe,
    database: Database,
    store: Store,
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// Runs the programs of a page on a database.
pub(super) async fn try_out(kind: Kind, recipe: Recipe) {
    let empty = tempfile::tempdir().unwrap();
    if let Some(problem) = recipe.missing(&mut recipe.command(recipe.probe, empty.path())) {
        panic!("{problem}");
    }
    let shop = Shop::open(kind, recipe).await;
    shop.worker_answers();
    shop.rolls_back_as_a_whole().await;
    shop.sends_a_newsletter().await;
}

impl Recipe {
    /// What a failed probe means, if it fails.
    pub(super) fn missing(self, probe: &mut Command) -> Option<String> {
        let said = match probe.output() {
            Ok(output) if output.status.success() => return None,
            Ok(output) => format!("{}{}", output.text(), output.errors()),
            Err(error) => error.to_string(),
        };
        Some(format!(
            "docs/recipes/{}.md cannot be run: {:?}: {said}\ntests/run installs it; by hand: apt-get install {}",
            self.page,
            probe.get_program(),
            self.packages
        ))
    }

    fn command(self, words: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder).stdin(Stdio::null());
        let user = nix::unistd::getuid();
        // Debian's modules, also for a Node.js from elsewhere; and those that tests/install-node-pg has unpacked.
        command.env("NODE_PATH", format!("/usr/share/nodejs:/var/tmp/sexton-node-{user}/usr/share/nodejs"));
        command.env("LC_ALL", "C.UTF-8").env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
        command.env("GOCACHE", folder.join("go-cache"));
        command
    }
}

impl Shop {
    async fn open(kind: Kind, recipe: Recipe) -> Self {
        let database = Database::new(kind).await;
        let store = database.store().await;
        let table = block("docs/recipes/README.md", "sql");
        store.connection().execute_unprepared(&table).await.unwrap();
        let folder = database.folder.path().join("shop");
        fs::create_dir(&folder).unwrap();
        let page = format!("docs/recipes/{}.md", recipe.page);
        for mark in [recipe.enqueue.0, recipe.worker.0] {
            let program = block(&page, mark);
            // A reader waits ten seconds, a test does not.
            let hasty = program.replace("10s", "1s");
            assert!(mark == recipe.enqueue.0 || hasty != program, "{program}");
            fs::write(folder.join(mark.split(' ').nth(1).unwrap()), hasty).unwrap();
        }
        for words in recipe.compile {
            let output = recipe.command(words, &folder).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", output.errors());
        }
        let variables = variables(&database).await;
        Self { recipe, database, store, folder, variables }
    }

    /// Runs the program that enqueues.
    fn enqueue(&self, letters: i64) -> Output {
        let mut command = self.recipe.command(self.recipe.enqueue.1, &self.folder);
        command.args([TITLE, &letters.to_string()]).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    async fn count(&self, table: &str) -> usize {
        let sql = format!("SELECT 1 AS one FROM {table}");
        let connection = self.store.connection();
        let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
        connection.query_all_raw(statement).await.unwrap().len()
    }

    /// The worker alone: what it writes to descriptor 3, in the order of its lines.
    fn worker_answers(&self) {
        let payload = json!({"title": TITLE, "letters": LETTERS});
        fs::write(self.folder.join("payload"), payload.to_string()).unwrap();
        let words = [&["sh", "-c", "exec \"$@\" <payload 3>answers", "sh"], self.recipe.worker.1].concat();
        let output = self.recipe.command(&words, &self.folder).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let text = fs::read_to_string(self.folder.join("answers")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let progress = |number: i64| json!({"percent": 20 * number, "text": format!("letter {number}")});
        let found: Vec<&Value> = lines.iter().filter_map(|line| line.get("progress")).collect();
        assert_eq!(found, [&progress(1), &progress(2), &progress(3)], "{text}");
        let last = |field: &str| lines.iter().rev().find_map(|line| line.get(field));
        let rest = json!({"title": TITLE, "letters": LETTERS, "done": 3});
        assert_eq!((last("payload"), last("retry_after")), (Some(&rest), Some(&json!("1s"))), "{text}");
    }

    /// The shop's own table refuses a newsletter without letters.
    async fn rolls_back_as_a_whole(&self) {
        let output = self.enqueue(0);
        assert!(!output.status.success(), "{}", output.text());
        assert_eq!((self.count("newsletter").await, self.count("sexton_task").await), (0, 0), "{}", output.errors());
    }

    async fn sends_a_newsletter(&self) {
        // On PostgreSQL only the NOTIFY can wake it in time.
        let poll_interval = if self.database.kind == Kind::Postgres { "10m" } else { "250ms" };
        let page = block(&format!("docs/recipes/{}.md", self.recipe.page), "toml");
        let definition = page.replace("/srv/shop", self.folder.to_str().unwrap());
        assert_ne!(definition, page, "the page names the folder");
        let daemon: Daemon = self.database.daemon("n", &format!("poll_interval = \"{poll_interval}\"\n{definition}"));
        let output = self.enqueue(LETTERS);
        assert!(output.status.success(), "{}", output.errors());
        assert_eq!(self.count("newsletter").await, 1);
        eventually("both attempts are on record", async || history(&self.store).await.len() == 2).await;
        let rows = history(&self.store).await;
        let ends: Vec<_> = rows.iter().map(|row| (row.outcome, row.verdict)).collect();
        assert_eq!(ends, [(Outcome::Snoozed, Some(Verdict::Retry)), (Outcome::Succeeded, Some(Verdict::Completed))]);
        assert_eq!(rows[0].payload.as_ref().unwrap(), &json!({"title": TITLE, "letters": LETTERS}));
        assert_eq!(rows[1].payload.as_ref().unwrap(), &json!({"title": TITLE, "letters": LETTERS, "done": 3}));
        assert_eq!(rows[1].result.as_ref().unwrap(), &json!({"sent": LETTERS}));
        for (row, letters) in rows.iter().zip([1..=3, 4..=5]) {
            let output = self.store.output(row.id).await.unwrap().unwrap();
            let expected: String = letters.map(|number| format!("letter {number} of {TITLE}\n")).collect();
            assert_eq!((output.stdout.as_str(), output.stderr.as_str()), (expected.as_str(), ""));
        }
        daemon.stop();
    }
}

/// How the programs of the pages reach the database: on a server as the role of an application.
async fn variables(database: &Database) -> Vec<(&'static str, String)> {
    if database.kind == Kind::Sqlite {
        let file = database.options().sqlite_file().unwrap().display().to_string();
        return vec![("DB_DSN", format!("sqlite:{file}")), ("DB_FILE", file)];
    }
    let role = Role::new(database).await;
    let grantee =
        if database.kind == Kind::Postgres { "newsletter TO shop_app" } else { "shop.newsletter TO shop_app@'%'" };
    role.grant(&format!("GRANT INSERT ON {grantee}")).await;
    let (host, port) = (role.url.host_str().unwrap(), role.url.port().unwrap());
    let name = role.url.path().trim_start_matches('/');
    let driver = if database.kind == Kind::Postgres { "pgsql" } else { "mysql" };
    vec![
        // The throw-away server has no TLS.
        ("DATABASE_URL", format!("{}?sslmode=disable", role.url)),
        ("JDBC_URL", format!("jdbc:postgresql://{host}:{port}/{name}?user={}&password=secret", role.name)),
        ("DB_DSN", format!("{driver}:host={host};port={port};dbname={name}")),
        ("DB_HOST", host.to_owned()),
        ("DB_PORT", port.to_string()),
        ("DB_NAME", name.to_owned()),
        ("DB_USER", role.name.clone()),
        ("DB_PASSWORD", "secret".to_owned()),
    ]
}
