//! The commands: signatures of `ssh-keygen`, differences, and several who deploy at once.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{Key, call, listed, refused, ssh_keygen, write};
use crate::support::{Database, Kind, Printed as _, block_on, on_each_database, sexton};

on_each_database! {
    async fn who_deploys_at_once_gets_a_number_or_an_error(database: Database) {
        let _store = database.store().await;
        let key = Key::new(&database, "alice");
        let file = database.config("n", &key.settings(""));
        let toml = write(&database, "one.toml", "[task.a]\nkind = \"noop\"\n");
        let arguments = ["config", "deploy", &toml, "--json", "--key", key.private.to_str().unwrap()];
        let start = |_| {
            let mut command = sexton(&file);
            command.args(arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        };
        let calls: Vec<_> = (0..6).map(start).collect();
        let (mut numbers, mut errors) = (Vec::new(), Vec::new());
        for call in calls {
            let output = call.wait_with_output().unwrap();
            match output.status.success() {
                true => numbers.push(output.json()["number"].as_i64().unwrap()),
                false => errors.push(output.errors()),
            }
        }
        numbers.sort_unstable();
        let wanted: Vec<i64> = (1..).take(numbers.len()).collect();
        assert!(!numbers.is_empty() && numbers == wanted, "{numbers:?}");
        assert!(errors.iter().all(|error| error.contains("meanwhile, and nothing of yours is")), "{errors:?}");
        let error = refused(&file, &[&arguments[..], &["--number", "1"]].concat());
        assert!(error.contains("version 1 was deployed") && error.contains("meanwhile"), "{error}");
    }

    async fn ssh_keygen_signs_and_diff_shows_what_changes(database: Database) {
        let _store = database.store().await;
        let key = Key::of_type(&database, "token", "ecdsa");
        let file = database.config("n", &key.settings("[queue.local]\nworkers = 1\n"));
        let at = |name: &str| database.folder.path().join(name).display().to_string();
        let deploy = |toml: &str| {
            let toml = write(&database, "tasks.toml", toml);
            let text = call(&file, &["config", "deploy", &toml, "--print", "--note", "Übergabe \u{202e}"]).stdout;
            fs::write(at("version.json"), text).unwrap();
            let _ = fs::remove_file(at("version.json.sig"));
            ssh_keygen(&["-q", "-Y", "sign", "-n", "sexton-config", "-f", key.private.to_str().unwrap(), &at("version.json")]);
            call(&file, &["config", "deploy", &at("version.json"), "--signature", &at("version.json.sig")]);
        };
        deploy("[task.a]\nkind = \"noop\"\nqueue = \"local\"\n");
        deploy("[task.a]\nkind = \"noop\"\npriority = 3\n");
        assert_eq!((&listed(&file, 2)["valid"], &listed(&file, 2)["files"][0]), (&true.into(), &"tasks.toml".into()));
        let text = call(&file, &["config", "diff"]).text();
        for line in ["--- version 1: tasks.toml", "+++ version 2: tasks.toml", "-queue = \"local\"", "+priority = 3"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(call(&file, &["config", "diff", "2", "1", "--json"]).json()["from"], 2);
        assert!(call(&file, &["config", "diff", "1", "1"]).text().contains("no file differs"));
        assert!(refused(&file, &["config", "diff", "7"]).contains("version 7 is not used: it is not in the database"));
        // The same text once more has a number that is taken.
        let again = ["config", "deploy", &at("version.json"), "--signature", &at("version.json.sig")];
        assert!(refused(&file, &again).contains("version 2 was deployed"));
        let toml = write(&database, "tasks.toml", "[task.b]\nkind = \"noop\"\n");
        let text = call(&file, &["config", "deploy", &toml, "--dry-run"]).text();
        assert!(text.contains("version 3 would be deployed: 1 file (tasks.toml)") && text.contains("+[task.b]"), "{text}");
        assert!(listed(&file, 3).is_null());
    }
}

#[test]
fn what_cannot_be_deployed_is_said() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let (key, other) = (Key::new(&database, "alice"), Key::new(&database, "bob"));
        let file = database.config("n", &key.settings("[task.here]\nkind = \"noop\"\n"));
        let signed_by = key.private.to_str().unwrap();
        let toml = |text: &str| write(&database, "tasks.toml", text);
        let good = toml("[task.a]\nkind = \"noop\"\n");
        let error = refused(&file, &["config", "deploy", &good]);
        assert!(error.contains("--key FILE") && error.contains("ssh-keygen -Y sign -n sexton-config"), "{error}");
        let error = refused(&file, &["config", "deploy", &good, "--key", other.private.to_str().unwrap()]);
        assert!(error.contains("which [deploy] does not have"), "{error}");
        let secret = database.folder.path().join("secret");
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "words", "-f", secret.to_str().unwrap()]);
        let error = refused(&file, &["config", "deploy", &good, "--key", secret.to_str().unwrap()]);
        assert!(error.contains("the key has a passphrase"), "{error}");
        let error = refused(&file, &["config", "deploy", &good, &good, "--key", signed_by]);
        assert!(error.contains("two files have the name tasks.toml"), "{error}");
        let bad = toml(
            "[task.here]\nkind = \"noop\"\n[log]\nlevel = \"debug\"\n[task.new]\ncommand = [\"x\"]\npayload_schema = \"a.json\"\n",
        );
        let error = refused(&file, &["config", "deploy", &bad, "--key", signed_by]);
        for part in [
            "deployed version 1: tasks.toml:1: task.here: ",
            "sexton.toml:",
            "defines it as well: remove one of them",
            "deployed version 1: tasks.toml:3: log: this cannot be deployed",
            "tasks.toml:7: task.new.payload_schema: `a.json`: a deployed version names files by their whole path",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let without = database.config("without", "");
        let error = refused(&without, &["config", "deploy", &good, "--key", signed_by]);
        assert!(error.contains("has no table [deploy]"), "{error}");
        assert!(call(&file, &["config", "versions"]).text().contains("No version"));
    });
}

#[test]
fn keys_are_checked_with_the_configuration() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let rsa = Key::of_type(&database, "rsa", "rsa");
        let key = Key::new(&database, "alice");
        let list = database.folder.path().join("keys");
        fs::write(&list, format!("# who may deploy\n\n{}\n", key.public)).unwrap();
        fs::set_permissions(&list, fs::Permissions::from_mode(0o644)).unwrap();
        let settings = format!("[deploy]\ncluster = \"shop\"\nkeys_file = \"{}\"\n", list.display());
        let file = database.config("n", &settings);
        assert!(call(&file, &["config", "show"]).text().contains(&key.public));
        fs::set_permissions(&list, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(refused(&file, &["config", "check"]).contains("others than its owner can write to"));
        fs::set_permissions(&list, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&list, format!("{}\nnonsense\n", key.public)).unwrap();
        assert!(
            refused(&file, &["config", "check"]).contains(&format!("{}:2: this is not a public key", list.display()))
        );
        fs::write(&list, "# none\n").unwrap();
        assert!(refused(&file, &["config", "check"]).contains("has no key"));
        for (settings, said) in [
            (rsa.settings(""), "a key of type ssh-rsa is not taken: use ssh-ed25519"),
            (key.settings("").replace("\"shop\"", "\"a b\""), "deploy.cluster: expected up to 100 letters"),
            (key.settings("").replace("cluster", "clutser"), "`cluster` is missing"),
            ("[deploy]\ncluster = \"shop\"\n".to_owned(), "`keys` or `keys_file` is missing"),
            (key.settings("keys_file = \"/nowhere\"\n"), "cannot read /nowhere"),
        ] {
            let error = refused(&database.config("n", &settings), &["config", "check"]);
            assert!(error.contains(said), "{said}: {error}");
        }
    });
}
