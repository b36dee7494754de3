//! The settings of kind `http`: mistakes, and what is shown.

use crate::support::{Database, Kind, Printed, block_on, sexton};

#[test]
fn every_mistake_names_its_line_and_the_way_out() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let url = "url = \"https://example.org/x\"";
        for (lines, line, expected) in [
            (String::new(), 7, "task.it: kind \"http\" needs `url`"),
            ("url = \"example.org\"".to_owned(), 9, "it is not an address such as"),
            ("url = \"ftp://example.org\"".to_owned(), 9, "it is not an address such as"),
            ("url = \"https://{/host}/x\"".to_owned(), 9, "a placeholder can be in the path and in the query only"),
            (
                "url = \"https://example.org{/x}\"".to_owned(),
                9,
                "a placeholder can be in the path and in the query only",
            ),
            (
                "url = \"https://u:geheim@example.org\"".to_owned(),
                9,
                "a user and a password are no part of the address",
            ),
            ("url = \"https://example.org/a/../b\"".to_owned(), 9, "the path has a segment `.` or `..`"),
            ("url = \"http://localhost/\"".to_owned(), 9, "localhost is 127.0.0.1, a loopback address: add the host"),
            ("url = \"http://169.254.169.254/x\"".to_owned(), 9, "only the address itself in `allow_hosts` allows it"),
            ("url = \"http://2130706433/\"".to_owned(), 9, "127.0.0.1 is a loopback address"),
            ("url = \"http://[::ffff:10.0.0.1]/\"".to_owned(), 9, "a private address"),
            (format!("{url}\nurl_file = \"/no/such/file\""), 10, "cannot read /no/such/file"),
            (format!("{url}\nmethod = \"get\""), 10, "`get` is not known, expected \"GET\""),
            (format!("{url}\nmethod = \"GET\"\nbody = \"json\""), 11, "a GET request has no body"),
            (format!("{url}\nbody = \"none\"\nbody_from = \"/x\""), 11, "the request has no body"),
            (format!("{url}\nbody_from = \"x\""), 10, "write a JSON pointer, such as \"/x\""),
            (format!("{url}\nheaders = {{ Host = \"x\" }}"), 10, "this header is Sexton's own"),
            (format!("{url}\nheaders = {{ \"a b\" = \"x\" }}"), 10, "is not a valid name of a header"),
            (format!("{url}\nheaders = {{ A = \"x\\ny\" }}"), 10, "the value of a header is one line"),
            (
                format!("{url}\nheaders = {{ A = {{ prefix = \"Bearer \" }} }}"),
                10,
                "one of `value`, `file` and `credential` is missing",
            ),
            (format!("{url}\nheaders = {{ A = {{ fil = \"x\" }} }}"), 10, "did you mean `file`?"),
            (format!("{url}\nsuccess_codes = [20]"), 10, "20 is out of range, expected 100 to 599"),
            (format!("{url}\nsuccess_codes = []"), 10, "the list is empty"),
            (format!("{url}\nredirects = 11"), 10, "11 is out of range"),
            (format!("{url}\nallow_hosts = [\"http://x\"]"), 10, "`http://x` is no host: write"),
            (format!("{url}\ndir = \"/\""), 10, "this setting needs a `command` or a `script`"),
            ("url = \"http://example.org\"\nca_file = \"/etc/hostname\"".to_owned(), 10, "/etc/hostname"),
        ] {
            let file = database.config("n", &format!("[task.it]\nkind = \"http\"\n{lines}"));
            let checked = sexton(&file).args(["config", "check"]).output().unwrap();
            let (told, place) = (checked.errors(), format!("sexton.toml:{line}: task.it"));
            assert_eq!(checked.status.code(), Some(78), "{lines}\n{told}");
            assert!(told.lines().any(|told| told.contains(&place) && told.contains(expected)), "{lines}\n{told}");
            assert!(!told.contains("geheim"), "{told}");
        }
        let file = database.config("n", &format!("[task.it]\nkind = \"noop\"\n{url}"));
        let told = sexton(&file).args(["config", "check"]).output().unwrap().errors();
        assert!(told.contains("sexton.toml:9: task.it.url: this setting is one of kind \"http\""), "{told}");
    });
}

#[test]
fn what_is_shown_has_no_secrets() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let secret = database.folder.path().join("secret");
        std::fs::write(&secret, "geheim").unwrap();
        let settings = format!(
            "[task.it]\nkind = \"http\"\nurl = \"https://example.org/{{/id}}?key=geheim\"\n\
             headers = {{ A = \"geheim\", B = {{ file = \"{0}\" }} }}\nallow_hosts = [\"*.example.org\", \"10.0.0.0/8\"]\n\
             [task.other]\nkind = \"http\"\nurl_file = \"{1}\"",
            secret.display(),
            database.folder.path().join("url").display()
        );
        std::fs::write(database.folder.path().join("url"), "https://example.org/geheim\n").unwrap();
        let file = database.config("n", &settings);
        let output = sexton(&file).args(["config", "show"]).output().unwrap();
        let shown = output.text();
        assert!(output.status.success() && !shown.contains("geheim"), "{shown}{}", output.errors());
        for line in [
            "url = \"https://example.org/{/id}?***\"",
            "url = \"***\"",
            "A = \"***\"",
            "allow_hosts = [\"*.example.org\", \"10.0.0.0/8\"]",
            "method = \"POST\"",
            "max_response = \"1MiB\"",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    });
}
