//! What the role may do. Statements are explained, not executed: for both the server asks for the same rights.

use sea_orm::ConnectionTrait as _;

use super::{
    super::{Store, StoreError, dialect::Dialect, error::StatementRefusal},
    tables::MIGRATIONS,
};
use crate::domain::doctor::rights::RoleFacts;

/// The tables that the daemon writes to, each with one of its columns.
const TABLES: [(&str, &str); 26] = [
    ("sexton_task", "name"),
    ("sexton_task_dependency", "required"),
    ("sexton_history", "name"),
    ("sexton_output", "history_id"),
    ("sexton_schedule", "name"),
    ("sexton_occurrence", "schedule"),
    ("sexton_queue", "name"),
    ("sexton_node", "name"),
    ("sexton_dead_node", "name"),
    ("sexton_turn", "name"),
    ("sexton_rate", "name"),
    ("sexton_audit", "name"),
    ("sexton_database", "id"),
    ("sexton_problem", "name"),
    ("sexton_notice", "channel"),
    ("sexton_daily", "name"),
    ("sexton_baseline", "name"),
    ("sexton_unusual", "what"),
    ("sexton_bookmark", "name"),
    ("sexton_event", "name"),
    ("sexton_event_trigger", "trigger_name"),
    ("sexton_trigger", "name"),
    ("sexton_trigger_pace", "trigger_name"),
    ("sexton_maintenance", "id"),
    ("sexton_sweep_row", "sweep"),
    ("sexton_config_version", "number"),
];
/// Rights on the whole server that harm nobody.
const HARMLESS: [&str; 8] = [
    "USAGE",
    "PROCESS",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "SHOW DATABASES",
    "SHOW VIEW",
    "FLUSH_TABLES",
];
/// Maximum number of rights that are named.
const MAX_NAMED: usize = 3;

impl Store {
    /// What the role may do in Sexton's tables, or in `only` some of them; none for SQLite, which has no roles.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn role_facts(&self, only: Option<&[String]>) -> Result<Option<RoleFacts>, StoreError> {
        let mut role = match self.dialect {
            Dialect::Postgres => self.postgres_role().await?,
            Dialect::MySql => self.mysql_role().await?,
            Dialect::Sqlite => return Ok(None),
        };
        let read_only = [(MIGRATIONS, "version")];
        let all = TABLES.into_iter().chain(read_only);
        let is_meant = |table: &str| only.is_none_or(|only| only.iter().any(|known| known == table));
        for (table, column) in all.filter(|(table, _)| is_meant(table)) {
            let count = if table == MIGRATIONS { 1 } else { 4 };
            let statements = [
                ("SELECT", format!("SELECT {column} FROM {table} WHERE 1 = 0")),
                ("INSERT", format!("INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE 1 = 0")),
                ("UPDATE", format!("UPDATE {table} SET {column} = {column} WHERE 1 = 0")),
                ("DELETE", format!("DELETE FROM {table} WHERE 1 = 0")),
            ];
            for (right, statement) in statements.into_iter().take(count) {
                let explained = self.db.query_all_raw(self.statement(&format!("EXPLAIN {statement}"), [])).await;
                match explained.map_err(|error| (StatementRefusal::of(&error), StoreError::from(error))) {
                    Err((Some(StatementRefusal::Denied), _)) => role.missing.push((table.to_owned(), right)),
                    Err((_, error)) if error.is_outage() => return Err(error),
                    // Rights are checked first: another refusal (a column without a default) says that they are there.
                    _ => {}
                }
            }
        }
        // These need a further right, and say nothing by themselves.
        let cannot_read: Vec<String> =
            role.missing.iter().filter(|(_, right)| *right == "SELECT").map(|(table, _)| table.clone()).collect();
        role.missing.retain(|(table, right)| *right == "SELECT" || !cannot_read.contains(table));
        Ok(Some(role))
    }

    async fn postgres_role(&self) -> Result<RoleFacts, StoreError> {
        let sql = "SELECT quote_ident(rolname) AS name, rolsuper, rolcreaterole, rolreplication, \
                   has_schema_privilege(current_schema(), 'CREATE') AS may_create FROM pg_roles \
                   WHERE rolname = current_user";
        let row = self.one(&self.db, sql, []).await?;
        let excess = [
            ("rolsuper", "is a superuser"),
            ("rolcreaterole", "may create and change other roles"),
            ("rolreplication", "may copy the whole server (REPLICATION)"),
        ];
        let mut found = None;
        for (column, words) in excess {
            if found.is_none() && row.try_get::<bool>("", column)? {
                found = Some(words.to_owned());
            }
        }
        Ok(RoleFacts {
            name: row.try_get("", "name")?,
            excess: found,
            may_create: row.try_get("", "may_create")?,
            missing: Vec::new(),
        })
    }

    async fn mysql_role(&self) -> Result<RoleFacts, StoreError> {
        let row = self.one(&self.db, "SELECT CURRENT_USER() AS name, DATABASE() AS here", []).await?;
        let (name, here): (String, Option<String>) = (row.try_get("", "name")?, row.try_get("", "here")?);
        let (user, host) = name.rsplit_once('@').unwrap_or((&name, "%"));
        let rows = self.all(&self.db, "SHOW GRANTS", []).await?;
        let grants: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
        Ok(RoleFacts {
            name: ["'", user, "'@'", host, "'"].concat().replace('\\', ""),
            excess: excess(&grants),
            may_create: may_create(&grants, &here.unwrap_or_default()),
            missing: Vec::new(),
        })
    }
}

/// The rights of a `GRANT … ON … TO …`, and on what; none if it grants a role.
fn parts(grant: &str) -> Option<(Vec<&str>, &str)> {
    let (rights, rest) = grant.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (on, _) = rest.split_once(" TO ")?;
    Some((rights.split(',').map(str::trim).collect(), on))
}

/// The rights on the whole server that Sexton does not need.
fn excess(grants: &[String]) -> Option<String> {
    let mut found: Vec<&str> = Vec::new();
    for (rights, on) in grants.iter().filter_map(|grant| parts(grant)) {
        if on == "*.*" {
            found.extend(rights.into_iter().filter(|right| !HARMLESS.contains(right)));
        }
    }
    let more = if found.len() > MAX_NAMED { ", …" } else { "" };
    found.truncate(MAX_NAMED);
    (!found.is_empty()).then(|| format!("has rights on the whole server ({}{more})", found.join(", ")))
}

/// Whether tables can be created in this database; none if it may be by a role or by a pattern.
fn may_create(grants: &[String], here: &str) -> Option<bool> {
    let mut is_known = true;
    for grant in grants {
        match parts(grant) {
            Some((rights, on)) => {
                // A grant on one table creates that table alone.
                let Some(database) = on.strip_suffix(".*") else { continue };
                let database = database.trim_matches('`').replace("\\_", "_");
                let creates = rights.iter().any(|right| ["ALL PRIVILEGES", "CREATE"].contains(right));
                if creates && (database == "*" || database == here) {
                    return Some(true);
                }
                is_known &= !(creates && database.contains('%'));
            }
            None => is_known = false,
        }
    }
    is_known.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn grants_are_read() {
        let plain = lines(&["GRANT USAGE ON *.* TO `app`@`%`", "GRANT SELECT, CREATE ON `my\\_shop`.* TO `app`@`%`"]);
        assert_eq!((excess(&plain), may_create(&plain, "my_shop")), (None, Some(true)));
        assert_eq!(may_create(&plain, "other"), Some(false));
        let one_table =
            lines(&["GRANT USAGE ON *.* TO `app`@`%`", "GRANT CREATE ON `shop`.`sexton_task` TO `app`@`%`"]);
        assert_eq!(may_create(&one_table, "shop"), Some(false));
        let by_role = lines(&["GRANT USAGE ON *.* TO `app`@`%`", "GRANT `writer`@`%` TO `app`@`%`"]);
        assert_eq!(may_create(&by_role, "shop"), None);
        assert_eq!(may_create(&lines(&["GRANT ALL PRIVILEGES ON `s%`.* TO `app`@`%`"]), "shop"), None);
        let all = lines(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert_eq!(excess(&all).as_deref(), Some("has rights on the whole server (ALL PRIVILEGES)"));
        assert_eq!(may_create(&all, "shop"), Some(true));
        let many = lines(&["GRANT SELECT, INSERT, PROCESS, UPDATE, DROP ON *.* TO `app`@`%`"]);
        assert_eq!(excess(&many).as_deref(), Some("has rights on the whole server (SELECT, INSERT, UPDATE, …)"));
    }
}
