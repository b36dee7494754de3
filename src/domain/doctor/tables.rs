//! Sexton's tables: their schema, sizes, dead rows, indexes, and the history.

use std::time::Duration;

use super::{Area, Diagnosis};
use crate::domain::{
    daemon::disk::size,
    text::{duration, plural::counted},
};

/// Dead rows below this number do not matter.
const MANY_DEAD: i64 = 20_000;
/// A history of this size is worth a thought.
const LARGE_HISTORY: u64 = 20 << 30;
/// The pruner works from time to time only.
const PRUNING_DELAY: Duration = Duration::from_secs(2 * 86_400);

/// How far the schema is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// There are no tables.
    Empty,
    /// These steps are to be applied.
    Pending(Vec<String>),
    /// A later release has applied this step.
    Newer(String),
    /// All steps are applied.
    Current,
}

/// What is known of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Its name.
    pub name: String,
    /// Its rows, by estimation.
    pub rows: i64,
    /// Rows that were deleted or replaced, and still take room; none where that is not known.
    pub dead: Option<i64>,
    /// Its size with its indexes, in bytes; none where that is not known.
    pub bytes: Option<u64>,
    /// What of that is free, in bytes; none where that is not known.
    pub free: Option<u64>,
    /// A storage engine other than InnoDB.
    pub other_engine: Option<String>,
    /// A character set other than utf8mb4.
    pub other_charset: Option<String>,
}

/// What is known of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesFacts {
    /// Each table.
    pub tables: Vec<TableFacts>,
    /// Indexes that are missing: the table, the index, and the statement that creates it.
    pub missing_indexes: Vec<(String, String, String)>,
    /// Indexes that exist and are not used, because they were never completed.
    pub invalid_indexes: Vec<String>,
    /// The age of the oldest attempt in the history; none without history.
    pub oldest: Option<Duration>,
    /// How long the history is kept.
    pub keep: Duration,
}

/// The finding about the schema. `migrates` says that the daemon applies what is missing.
pub fn diagnose_schema(state: &SchemaState, migrates: bool) -> Diagnosis {
    let run = "Run `sexton db migrate`.";
    match (state, migrates) {
        (SchemaState::Current, _) => Diagnosis::ok(Area::Tables, "The tables are up to date."),
        (SchemaState::Empty, true) => Diagnosis::note(
            Area::Tables,
            "The database has no tables of Sexton yet.",
            "The daemon creates them at its first start.",
            "Start the daemon, or run `sexton db migrate`.",
        ),
        (SchemaState::Empty, false) => Diagnosis::error(
            Area::Tables,
            "The database has no tables of Sexton.",
            "database.migrate is false: the daemon does not create them, and does not work without them.",
            run,
        ),
        (SchemaState::Pending(steps), true) => Diagnosis::note(
            Area::Tables,
            format!("{} to apply: {}.", counted(steps.len(), "migration"), steps.join(", ")),
            "The daemon applies them at its next start. Until then this version of the command line may not work.",
            "Restart the daemon with this version, or run `sexton db migrate`.",
        ),
        (SchemaState::Pending(steps), false) => Diagnosis::error(
            Area::Tables,
            format!("{} to apply: {}.", counted(steps.len(), "migration"), steps.join(", ")),
            "database.migrate is false: the daemon does not apply them, and does not work without them.",
            run,
        ),
        (SchemaState::Newer(step), _) => Diagnosis::error(
            Area::Tables,
            format!("A newer Sexton has migrated the database (step {step})."),
            "A daemon of this version does not start.",
            "Upgrade this program.",
        ),
    }
}

/// The findings about tables.
pub fn diagnose(facts: &TablesFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for (table, index, create) in &facts.missing_indexes {
        found.push(Diagnosis::error(
            Area::Tables,
            format!("Table {table} lacks its index {index}."),
            "Statements that need it read the whole table, and wait for each other. A unique index also keeps two nodes \
             from doing the same.",
            format!("{create};"),
        ));
    }
    for index in &facts.invalid_indexes {
        found.push(Diagnosis::error(
            Area::Tables,
            format!("The index {index} is invalid."),
            "PostgreSQL does not use it: somebody has begun to build it, and it was not completed.",
            format!("REINDEX INDEX CONCURRENTLY {index};"),
        ));
    }
    for table in &facts.tables {
        found.extend(of_table(table));
    }
    found.extend(of_history(facts));
    if found.is_empty() {
        let bytes = facts.tables.iter().map(|table| table.bytes).sum::<Option<u64>>();
        let words = bytes.map(|bytes| format!(" of {}", size(bytes))).unwrap_or_default();
        let tables = counted(facts.tables.len(), "table");
        found.push(Diagnosis::ok(Area::Tables, format!("{tables}{words} with all their indexes.")));
    }
    found
}

fn of_table(table: &TableFacts) -> Vec<Diagnosis> {
    let (mut found, name) = (Vec::new(), &table.name);
    if let Some(dead) = table.dead.filter(|dead| *dead > MANY_DEAD && *dead > table.rows.max(0)) {
        found.push(Diagnosis::warning(
            Area::Tables,
            format!("Table {name} has {dead} dead rows beside {} live ones.", table.rows.max(0)),
            "Each claim reads them. Autovacuum does not keep up, or an old transaction keeps it from removing them.",
            format!("End old transactions (see there), then: VACUUM (VERBOSE, ANALYZE) {name};"),
        ));
    }
    if let (Some(bytes), Some(free)) = (table.bytes, table.free)
        && free > (256 << 20)
        && free > bytes / 2
    {
        found.push(Diagnosis::note(
            Area::Tables,
            format!("{} of {} in table {name} are free.", size(free), size(bytes + free)),
            "Sexton uses that room again. It only matters if the disk is small.",
            format!("OPTIMIZE TABLE {name}; which locks the table for a while."),
        ));
    }
    if let Some(engine) = &table.other_engine {
        found.push(Diagnosis::error(
            Area::Tables,
            format!("Table {name} uses the storage engine {engine}."),
            "It has no transactions: a crash loses tasks, and two nodes can run the same one.",
            format!("ALTER TABLE {name} ENGINE = InnoDB;"),
        ));
    }
    if let Some(charset) = &table.other_charset {
        found.push(Diagnosis::warning(
            Area::Tables,
            format!("Table {name} has the collation {charset}."),
            "Names that differ in case count as the same, or characters cannot be stored.",
            format!("ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"),
        ));
    }
    found
}

fn of_history(facts: &TablesFacts) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let keep = duration::text(facts.keep);
    if let Some(oldest) = facts.oldest.filter(|oldest| *oldest > facts.keep + PRUNING_DELAY) {
        found.push(Diagnosis::warning(
            Area::Tables,
            format!("The oldest attempt in the history is {} old.", days(oldest)),
            format!("daemon.keep_history is {keep}: the pruner does not work, and the history grows for ever."),
            "`sexton summary pruner` says why. Without a running daemon nothing is pruned.",
        ));
    }
    let of_history = ["sexton_history", "sexton_output"];
    let bytes: u64 =
        facts.tables.iter().filter(|table| of_history.contains(&&*table.name)).filter_map(|table| table.bytes).sum();
    if bytes > LARGE_HISTORY {
        found.push(Diagnosis::note(
            Area::Tables,
            format!("The history with its output has {}.", size(bytes)),
            format!("It is kept for {keep}. Backups take long, and so does a restore."),
            "Lower daemon.keep_history, or what tasks print.",
        ));
    }
    found
}

fn days(age: Duration) -> String {
    counted(age.as_secs() / 86_400, "day")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    const DAY: u64 = 86_400;

    fn good() -> TablesFacts {
        let table =
            TableFacts { name: "sexton_task".to_owned(), rows: 10, bytes: Some(1 << 20), ..TableFacts::default() };
        TablesFacts { tables: vec![table], keep: Duration::from_secs(30 * DAY), ..TablesFacts::default() }
    }

    fn with(table: TableFacts) -> TablesFacts {
        TablesFacts { tables: vec![TableFacts { name: "sexton_task".to_owned(), ..table }], ..good() }
    }

    #[test]
    fn good_tables_have_one_line() {
        assert_eq!(diagnose(&good()), [Diagnosis::ok(Area::Tables, "1 table of 1.0 MiB with all their indexes.")]);
    }

    #[test]
    fn each_fault_of_the_tables_is_found() {
        let names = |table: &str, index: &str| vec![(table.to_owned(), index.to_owned(), "CREATE".to_owned())];
        let history = TableFacts { name: "sexton_history".to_owned(), bytes: Some(30 << 30), ..TableFacts::default() };
        let cases = [
            (
                TablesFacts { missing_indexes: names("sexton_task", "sexton_task_claim"), ..good() },
                Gravity::Error,
                "lacks its index sexton_task_claim",
            ),
            (
                TablesFacts { invalid_indexes: vec!["sexton_task_claim".to_owned()], ..good() },
                Gravity::Error,
                "sexton_task_claim is invalid",
            ),
            (
                with(TableFacts { rows: 10, dead: Some(50_000), ..TableFacts::default() }),
                Gravity::Warning,
                "50000 dead rows beside 10 live",
            ),
            (
                with(TableFacts { bytes: Some(1 << 30), free: Some(3 << 30), ..TableFacts::default() }),
                Gravity::Note,
                "3.0 GiB of 4.0 GiB",
            ),
            (
                with(TableFacts { other_engine: Some("MyISAM".to_owned()), ..TableFacts::default() }),
                Gravity::Error,
                "storage engine MyISAM",
            ),
            (
                with(TableFacts { other_charset: Some("latin1_swedish_ci".to_owned()), ..TableFacts::default() }),
                Gravity::Warning,
                "collation latin1",
            ),
            (TablesFacts { oldest: Some(Duration::from_secs(40 * DAY)), ..good() }, Gravity::Warning, "is 40 days old"),
            (TablesFacts { tables: vec![history], ..good() }, Gravity::Note, "has 30.0 GiB"),
        ];
        for (facts, severity, words) in cases {
            let found = diagnose(&facts);
            assert_eq!((found.len(), found[0].severity), (1, severity), "{found:#?}");
            assert!(found[0].found.contains(words), "{words}: {}", found[0].found);
        }
    }

    #[test]
    fn little_bloat_is_no_finding() {
        for table in [
            TableFacts { rows: 100_000, dead: Some(50_000), ..TableFacts::default() },
            TableFacts { rows: 0, dead: Some(5_000), ..TableFacts::default() },
            TableFacts { bytes: Some(1 << 20), free: Some(4 << 20), ..TableFacts::default() },
        ] {
            let found = diagnose(&with(table));
            assert_eq!((found.len(), found[0].severity), (1, Gravity::Ok), "{found:#?}");
        }
        let young = TablesFacts { oldest: Some(Duration::from_secs(31 * DAY)), ..good() };
        assert_eq!(diagnose(&young)[0].severity, Gravity::Ok);
    }

    #[test]
    fn it_depends_on_the_daemon_whether_a_missing_step_hurts() {
        let pending = SchemaState::Pending(vec!["m1".to_owned(), "m2".to_owned()]);
        let severity = |state: &SchemaState, migrates| diagnose_schema(state, migrates).severity;
        assert_eq!([severity(&pending, true), severity(&pending, false)], [Gravity::Note, Gravity::Error]);
        assert_eq!(
            [severity(&SchemaState::Empty, true), severity(&SchemaState::Empty, false)],
            [Gravity::Note, Gravity::Error]
        );
        assert_eq!(severity(&SchemaState::Newer("m9".to_owned()), true), Gravity::Error);
        assert_eq!(severity(&SchemaState::Current, false), Gravity::Ok);
        assert_eq!(diagnose_schema(&pending, true).found, "2 migrations to apply: m1, m2.");
    }
}
