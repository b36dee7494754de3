//! Mistakes in a database URL that can be found without the database.
//!
//! No message repeats a part of the URL that may be a piece of a password.

use super::redact::scheme;

/// How the characters are written that would end a password.
const ESCAPES: &str = "in a password, write %2F for /, %40 for @, %3F for ? and %23 for #";

/// Checks a database URL.
///
/// # Errors
/// What is wrong, and what would be valid, in one sentence.
pub fn check(url: &str) -> Result<(), String> {
    let kind = url.split(':').next().unwrap_or_default();
    match kind {
        "sqlite" => check_file(url),
        "postgres" | "postgresql" | "mysql" | "mariadb" => check_server(url, kind),
        _ => Err(format!(
            "`{}` is not a supported database: write sqlite://PATH, postgres://… or mysql://…",
            scheme(url)
        )),
    }
}

/// What works, but should be written differently.
pub fn advice(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://").filter(|_| !url.starts_with("sqlite"))?;
    let (user, _) = parts(rest).0.rsplit_once('@')?;
    user.contains('@').then(|| format!("the password contains @, where other programs end it: {ESCAPES}"))
}

fn check_file(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
    if path.is_empty() { Err("the path of the file is missing: write sqlite://PATH".to_owned()) } else { Ok(()) }
}

/// The text between `//` and the path, and the rest.
fn parts(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

fn check_server(url: &str, kind: &str) -> Result<(), String> {
    let example = format!("write {kind}://USER:PASSWORD@HOST/DATABASE");
    let (_, rest) = url.split_once("://").ok_or_else(|| example.clone())?;
    let (authority, after) = parts(rest);
    let path = &after[..after.find(['?', '#']).unwrap_or(after.len())];
    let has_user = authority.contains('@');
    let hosts: Vec<&str> = authority.rsplit('@').next().unwrap_or_default().split(',').collect();
    let ports = hosts.iter().filter_map(|host| port(host).transpose()).collect::<Result<Vec<&str>, String>>();
    let wrong = ports.as_ref().map(|ports| ports.iter().find(|port| !is_port(port)));
    let is_cut_short = !has_user && after.contains('@') && (path.is_empty() || !matches!(wrong, Ok(None)));
    if path.contains('@') || is_cut_short {
        return Err(format!("there is an @ after the host: {ESCAPES}"));
    }
    match wrong {
        Ok(None) => {}
        Ok(Some(port)) if has_user => return Err(format!("`{port}` is not a port: write a number from 1 to 65535")),
        // Without a user, it may be a password.
        Ok(Some(_)) => return Err("the port is not a number from 1 to 65535".to_owned()),
        Err(problem) => return Err(problem.clone()),
    }
    if matches!(kind, "mysql" | "mariadb") {
        if hosts.len() > 1 {
            return Err("several hosts are for PostgreSQL only: name one".to_owned());
        }
        if path.trim_matches('/').is_empty() {
            return Err(format!("the name of the database is missing: {example}"));
        }
    }
    Ok(())
}

/// The port of `host:port`, if there is one.
fn port(host: &str) -> Result<Option<&str>, String> {
    let after = match host.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or("the address in brackets does not end with ]")?.1,
        None => host,
    };
    Ok(after.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty()))
}

fn is_port(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_is_accepted() {
        for url in [
            "sqlite://var/sexton.db",
            "sqlite::memory:",
            "sqlite:///srv/a@b.db?mode=rwc",
            "postgres://app:secret@db/shop",
            "postgres://app:p%2Fw%40x@db:5432/shop?sslmode=require",
            "postgres://u@one:1,two,[::1]:3/d",
            "postgres://u@[::1]/d",
            "postgres:///shop?host=/run/postgresql",
            "postgres://db/shop?user=a&password=b@c",
            "postgres://db",
            "mysql://app:se@cret@db:3306/shop",
            "mariadb://app@db/shop",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_cannot_work_is_named_without_passwords() {
        for (url, problem) in [
            ("oracle://h/d", "`oracle` is not a supported database"),
            ("secret", "`***` is not a supported database"),
            ("sqlite:", "the path of the file is missing"),
            ("sqlite://?mode=rwc", "the path of the file is missing"),
            ("mysql:u:secret@h/d", "write mysql://USER:PASSWORD@HOST/DATABASE"),
            ("postgres://u:p@h:99999/d", "`99999` is not a port: write a number from 1 to 65535"),
            ("postgres://u:p@h:0/d", "`0` is not a port"),
            ("postgres://u@one:1,two:x/d", "`x` is not a port"),
            ("postgres://u:secret", "the port is not a number"),
            ("postgres://u@[::1/d", "the address in brackets does not end with ]"),
            ("postgres://u:sec/ret@h/d", "write %2F for /, %40 for @"),
            ("postgres://u:12/ret@h/d", "there is an @ after the host"),
            ("postgres://u:s@ec/ret@h/d", "there is an @ after the host"),
            ("postgres://u:sec?ret@h/d", "%3F for ?"),
            ("postgres://u:sec#ret@h/d", "%23 for #"),
            ("mysql://u:sec/ret@h/d", "there is an @ after the host"),
            ("mysql://u@one,two/d", "several hosts are for PostgreSQL only"),
            ("mysql://u:secret@h", "the name of the database is missing"),
            ("mysql://u:secret@h/?x=y", "the name of the database is missing"),
        ] {
            let said = check(url).expect_err(url);
            assert!(said.contains(problem), "{url}: {said}");
            assert!(!said.contains("secret") && !said.contains("ret@"), "{url}: {said}");
        }
    }

    #[test]
    fn an_at_sign_in_a_password_should_be_escaped() {
        assert!(advice("postgres://u:p@w@h/d").is_some_and(|text| text.contains("%40")));
        assert_eq!(advice("postgres://u:p%40w@h/d"), None);
        assert_eq!(advice("sqlite://a@b@c"), None);
    }
}
