//! Several hosts in one PostgreSQL URL, as libpq knows them: `postgres://user@one:5432,two:5433/app`.

/// Splits a URL into one for each host, in their order. The second value says whether a host must be refused that only
/// reads: always among several hosts, and if `target_session_attrs` says so.
///
/// # Errors
/// If the hosts or `target_session_attrs` cannot be used, in one sentence.
pub(super) fn split(url: &str) -> Result<(Vec<String>, bool), String> {
    let (scheme, rest) = url.split_once("://").ok_or("write postgres://USER@HOST/DATABASE")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let mut parameters: Vec<&str> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();
    let value_of = |key: &str| parameters.iter().find_map(|parameter| parameter.strip_prefix(key)?.strip_prefix('='));
    if let Some(list) = value_of("host").filter(|list| list.contains(',') || list.contains("%2C")) {
        return Err(format!("write several hosts as postgres://USER@{list}/DATABASE, not as a parameter"));
    }
    let wanted = value_of("target_session_attrs");
    let writes = match wanted {
        None | Some("any") => false,
        Some("read-write" | "primary") => true,
        Some(other) => {
            return Err(format!(
                "target_session_attrs = {other} cannot be used, because Sexton writes: use read-write"
            ));
        }
    };
    parameters.retain(|parameter| !parameter.starts_with("target_session_attrs="));
    let query = match parameters.is_empty() {
        true => String::new(),
        false => format!("?{}", parameters.join("&")),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
        return Err("one of the hosts has no name".to_owned());
    }
    let must_write = writes || hosts.len() > 1;
    Ok((hosts.iter().map(|host| format!("{scheme}://{user}{host}{path}{query}")).collect(), must_write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_stays_as_it_is() {
        let url = "postgres://u:p@h:1/d?sslmode=require";
        assert_eq!(split(url), Ok((vec![url.to_owned()], false)));
        assert_eq!(split("postgres:///d?host=/run/postgresql").map(|(urls, _)| urls.len()), Ok(1));
        let (urls, must_write) = split("postgres://h/d?target_session_attrs=read-write").expect("sound");
        assert_eq!((urls, must_write), (vec!["postgres://h/d".to_owned()], true));
    }

    #[test]
    fn several_hosts_are_one_url_each() {
        let (urls, must_write) =
            split("postgresql://u:p@one:1,two,[::1]:3/d?sslmode=disable&target_session_attrs=primary").expect("sound");
        assert_eq!(
            urls,
            [
                "postgresql://u:p@one:1/d?sslmode=disable",
                "postgresql://u:p@two/d?sslmode=disable",
                "postgresql://u:p@[::1]:3/d?sslmode=disable"
            ]
        );
        assert!(must_write);
        assert!(split("postgres://one,two/d").expect("sound").1, "a standby is of no use");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (url, why) in [
            ("postgres://one,two/d?target_session_attrs=standby", "Sexton writes"),
            ("postgres://one,,two/d", "no name"),
            ("postgres:///d?host=one,two", "not as a parameter"),
            ("postgres:one", "write postgres://"),
        ] {
            let error = split(url).expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
