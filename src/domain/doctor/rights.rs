//! What the role of the database may do: too little, or too much.

use std::collections::BTreeMap;

use super::{Area, Diagnosis};

/// What is known of the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFacts {
    /// The role, as the database writes it in a GRANT.
    pub name: String,
    /// What it may do that Sexton does not need, such as `is a superuser`.
    pub excess: Option<String>,
    /// Whether it may create tables where Sexton's tables are; none if that is not known.
    pub may_create: Option<bool>,
    /// The rights that it lacks: a table, and a right.
    pub missing: Vec<(String, &'static str)>,
}

/// The findings about the role. `is_pending` says that there are steps to apply, `migrates` that the daemon does it.
pub fn diagnose(role: &RoleFacts, is_pending: bool, migrates: bool) -> Vec<Diagnosis> {
    let name = &role.name;
    let mut found = Vec::new();
    let mut by_table: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (table, right) in &role.missing {
        by_table.entry(table).or_default().push(right);
    }
    let mut by_rights: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (table, rights) in by_table {
        by_rights.entry(rights).or_default().push(table);
    }
    for (rights, tables) in by_rights {
        let rights = rights.join(", ");
        // MySQL takes one table for each statement.
        let grants: Vec<String> = tables.iter().map(|table| format!("GRANT {rights} ON {table} TO {name};")).collect();
        let tables = tables.join(", ");
        found.push(Diagnosis::error(
            Area::Rights,
            format!("The role {name} may not {rights} in {tables}."),
            "The database refuses statements of the daemon.",
            format!("As the owner of the tables: {}", grants.join(" ")),
        ));
    }
    if role.may_create == Some(false) {
        let make = if is_pending { Diagnosis::error } else { Diagnosis::note };
        let who = if migrates { "The daemon" } else { "`sexton db migrate`" };
        found.push(make(
            Area::Rights,
            format!("The role {name} may not create tables."),
            format!("{who} cannot update the tables with this role: an upgrade of Sexton needs another one."),
            "Run `sexton db migrate` as the owner of the tables at each upgrade, or GRANT CREATE to the role.",
        ));
    }
    if let Some(excess) = &role.excess {
        found.push(Diagnosis::warning(
            Area::Rights,
            format!("The role {name} {excess}."),
            "Sexton does not need that. A leaked password, or a task that uses the same URL, can destroy everything on \
             the server.",
            "Make a role that owns Sexton's tables alone: docs/DOCTOR.md shows how.",
        ));
    }
    if found.is_empty() {
        found.push(Diagnosis::ok(Area::Rights, format!("The role {name} may do what the daemon needs.")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    #[test]
    fn missing_rights_are_grouped_and_granted_by_one_statement() {
        let missing = [
            ("sexton_task", "UPDATE"),
            ("sexton_task", "DELETE"),
            ("sexton_node", "UPDATE"),
            ("sexton_node", "DELETE"),
            ("sexton_audit", "INSERT"),
        ];
        let missing = missing.map(|(table, right)| (table.to_owned(), right)).to_vec();
        let role = RoleFacts { name: "app".to_owned(), missing, may_create: Some(true), excess: None };
        let found = diagnose(&role, false, true);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found.iter().all(|finding| finding.severity == Gravity::Error));
        let both = found.iter().find(|finding| finding.found.contains("UPDATE")).expect("two tables");
        assert_eq!(both.found, "The role app may not UPDATE, DELETE in sexton_node, sexton_task.");
        assert!(both.remedy.as_deref().is_some_and(|text| {
            text.ends_with("GRANT UPDATE, DELETE ON sexton_node TO app; GRANT UPDATE, DELETE ON sexton_task TO app;")
        }));
    }

    #[test]
    fn creating_tables_matters_if_there_are_steps_to_apply() {
        let role = RoleFacts { name: "app".to_owned(), may_create: Some(false), ..RoleFacts::default() };
        let severity = |is_pending| diagnose(&role, is_pending, true)[0].severity;
        assert_eq!([severity(true), severity(false)], [Gravity::Error, Gravity::Note]);
        let unknown = RoleFacts { may_create: None, ..role };
        assert_eq!(diagnose(&unknown, true, true)[0].severity, Gravity::Ok);
    }

    #[test]
    fn too_many_rights_are_a_warning() {
        let role =
            RoleFacts { name: "root".to_owned(), excess: Some("is a superuser".to_owned()), ..RoleFacts::default() };
        let found = diagnose(&role, false, true);
        assert_eq!(
            (found.len(), found[0].severity, found[0].found.as_str()),
            (1, Gravity::Warning, "The role root is a superuser.")
        );
    }
}
