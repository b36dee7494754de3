//! The settings of `[task.NAME]` that belong to kind `sql`.

use super::{section::Section, sql_settings};
use crate::domain::{
    sql_task::{ALWAYS_BOUND, SqlSpec, check_statement},
    sql_text::SqlText,
    task::definition::SQL,
};

/// The settings of this kind, without the address of its database, which kind `http` has as well.
const OF_SQL: [&str; 4] = ["statement", "statements", "bind", "max_rows"];
/// How many rows of a statement are on record, by default and at most.
const MAX_ROWS: [i64; 2] = [100, 10_000];

/// Reads the statements of a task; none if it is of another kind, or they are not usable, which is a mistake.
pub(super) fn read(section: &mut Section<'_>, kind: &str, max_payload: u64) -> Option<SqlSpec> {
    if kind != SQL {
        section.refuse_each(&OF_SQL, "this setting is one of kind \"sql\"");
        return None;
    }
    let statements = statements(section);
    let bind = match &statements {
        Some(statements) => sql_settings::bindings(section, max_payload, statements, &ALWAYS_BOUND),
        None => {
            section.node("bind");
            Default::default()
        }
    };
    let max_rows = section.integer("max_rows", 0..=MAX_ROWS[1]).unwrap_or(MAX_ROWS[0] as usize);
    let url = sql_settings::url(section);
    Some(SqlSpec { statements: statements?, bind, url, max_rows })
}

fn statements(section: &mut Section<'_>) -> Option<Vec<SqlText>> {
    let (has_one, has_several) = (section.node("statement").is_some(), section.node("statements").is_some());
    let (key, texts) = match (has_one, has_several) {
        (true, true) => {
            section.refuse("statement", "`statements` is set as well: write all statements there");
            return None;
        }
        (true, false) => ("statement", vec![section.text("statement")?]),
        (false, true) => ("statements", section.texts("statements")?),
        (false, false) => {
            section.refuse("", "kind \"sql\" needs a `statement`, or a list of `statements`");
            return None;
        }
    };
    if texts.is_empty() {
        section.refuse(key, "the list is empty: write at least one statement");
        return None;
    }
    let mut statements = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let read = SqlText::parse(text).and_then(|read| check_statement(&read).map(|()| read));
        match read {
            Ok(read) => statements.push(read),
            Err(problem) if has_one => section.refuse(key, problem),
            Err(problem) => section.refuse(key, format!("statement {}: {problem}", index + 1)),
        }
    }
    (statements.len() == texts.len()).then_some(statements)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, KnownNames, Mistakes, Source, load};

    fn loaded(text: &str) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sexton.toml");
        std::fs::write(&file, format!("[task.t]\n{text}\n")).expect("a file");
        let known = KnownNames { kinds: vec!["noop".into(), "sql".into()], ..KnownNames::default() };
        load(&Source { file: Some(file), ..Source::default() }, &known).map_err(|Mistakes(found)| {
            found.iter().map(|found| format!("{}: {}", found.setting, found.problem)).collect()
        })
    }

    #[test]
    fn statements_are_shown_as_they_were_written() {
        let config = loaded(
            "kind = \"sql\"\nstatements = [\"UPDATE t SET by = :task_id WHERE id = :id\", \"CALL p(:id, :attempt, :fence)\"]\n\
             bind = { id = \"$.order.id\" }\nmax_rows = 5\nurl = \"mysql://u:secret@h/d\"\nmax_attempts = 3",
        )
        .expect("sound");
        let sql = config.tasks["t"].sql.as_ref().expect("statements");
        assert_eq!((sql.statements.len(), sql.max_rows, config.tasks["t"].max_attempts), (2, 5, 3));
        let shown = config.show();
        assert!(shown.contains("max_rows = 5") && shown.contains("CALL p(:id") && !shown.contains("secret"), "{shown}");
        let one = loaded("kind = \"sql\"\nstatement = \"DELETE FROM t\"").expect("sound");
        assert_eq!(one.tasks["t"].sql.as_ref().map(|sql| (sql.max_rows, sql.url.is_none())), Some((100, true)));
    }

    #[test]
    fn each_mistake_has_its_place() {
        for (settings, expected) in [
            ("", "task.t: kind \"sql\" needs a `statement`, or a list of `statements`"),
            ("statements = []", "task.t.statements: the list is empty"),
            (
                "statement = \"SELECT 1\"\nstatements = [\"SELECT 1\"]",
                "task.t.statement: `statements` is set as well: write all statements there",
            ),
            ("statement = \"SELECT 1; SELECT 2\"", "task.t.statement: there is a second statement at character 11"),
            ("statements = [\"SELECT 1\", \" \"]", "task.t.statements: statement 2: there is no statement"),
            (
                "statements = [\"SELECT 1\", \"COMMIT\"]",
                "task.t.statements: statement 2: all statements of a task are one",
            ),
            ("statement = \"DELETE FROM t WHERE id = :id\"", "task.t.bind: the placeholder `:id` has no value"),
            ("statement = \"SELECT 1\"\nbind = { id = 1 }", "task.t.bind: there is no placeholder `:id`"),
            ("statement = \"SELECT :fence\"\nbind = { fence = 1 }", "task.t.bind: `:fence` has a value already"),
            ("statement = \"SELECT 1\"\nurl = \"oracle://h/d\"", "task.t.url: "),
            ("statement = \"SELECT 1\"\nmethod = \"GET\"", "task.t.method: this setting is one of kind \"http\""),
        ] {
            let found = loaded(&format!("kind = \"sql\"\n{settings}")).expect_err(settings);
            assert!(found.join("; ").starts_with(expected), "{settings}: {found:?}");
        }
        let stray = loaded("kind = \"noop\"\nstatement = \"SELECT 1\"").expect_err("another kind");
        assert_eq!(stray, ["task.t.statement: this setting is one of kind \"sql\""]);
    }
}
