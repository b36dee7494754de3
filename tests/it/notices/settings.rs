//! The settings of notices: whom to tell, and mistakes.

use crate::support::{Database, Kind, Printed, block_on, sexton};

const MAIL: &str = "kind = \"mail\"\nserver = \"smtp://mail.example.org\"\nfrom = \"a@b\"\nto = [\"c@d\"]";

#[test]
fn every_mistake_names_the_way_out() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let cases = [
            (
                format!("[notify.admins]\n{MAIL}\n[task.t]\ncommand = [\"true\"]\nmail_output = \"sometimes\""),
                "`sometimes` is not known, expected \"always\" or \"on_failure\" or \"never\"",
            ),
            (
                format!("[notify.admins]\n{MAIL}\n[task.t]\ncommand = [\"true\"]\nmail_output_to = [\"admin\"]"),
                "there is no [notify.admin]; did you mean `admins`?",
            ),
            (
                "[task.t]\ncommand = [\"true\"]\nmail_output = \"always\"".to_owned(),
                "nobody would get the mail: there is no [notify.NAME] table",
            ),
            (
                "[notify.a]\nkind = \"pigeon\"".to_owned(),
                "`pigeon` is not known, expected \"mail\" or \"webhook\" or \"command\"",
            ),
            ("[notify.a]\nfrom = \"a@b\"".to_owned(), "`kind` is missing: \"mail\", \"webhook\" or \"command\""),
            ("[notify.a]\nkind = \"mail\"\nfrom = \"a@b\"\nto = [\"c@d\"]".to_owned(), "`server` is missing"),
            (format!("[notify.a]\n{}", MAIL.replace("c@d", "nobody")), "`nobody` is not a mail address"),
            (format!("[notify.a]\n{}", MAIL.replace("smtp:", "imap:")), "expected smtp:// or smtps://"),
            (format!("[notify.a]\n{}", MAIL.replace("smtp://", "smtp://u:geheim@")), "it is not an address such as"),
            (
                format!("[notify.a]\n{MAIL}\nuser = \"u\""),
                "a user needs password, password_file or password_credential",
            ),
            (
                format!("[notify.a]\n{MAIL}\nuser = \"u\"\npassword = \"geheim\"\ntls = \"none\""),
                "would be sent as plain text",
            ),
            (format!("[notify.a]\n{MAIL}\nurl = \"http://x\""), "this setting is one of kind \"webhook\""),
            ("[notify.a]\nkind = \"webhook\"\nurl = \"geheim\"".to_owned(), "it is not an address such as"),
            (
                format!("[notify.a]\n{MAIL}\ndigest = \"weekly\""),
                "`weekly` is not a digest: write \"daily 08:00\" or \"hourly\"",
            ),
            (
                format!(
                    "[notify.boss]\n{MAIL}\n[queue.q]\nworkers = 1\nescalate = {{ after = \"1h\", to = [\"bos\"] }}"
                ),
                "there is no [notify.bos]; did you mean `boss`?",
            ),
            (
                format!("[notify.boss]\n{MAIL}\n[queue.q]\nworkers = 1\nescalate = {{ to = [\"boss\"] }}"),
                "`after` is missing: write `{ after = \"1h\", to = [\"NAME\"] }`",
            ),
            ("[notify.a]\nkind = \"command\"".to_owned(), "kind \"command\" needs `command"),
            (
                format!("[notify.a]\n{MAIL}\nquiet = \"nigt\"\n[period.night]\nranges = {{ day = \"22:00-06:00\" }}"),
                "there is no period `nigt`; did you mean `night`?",
            ),
            (
                format!("[notify.admins]\n{MAIL}\n[task.t]\ncommand = [\"true\"]\nnotify = [\"admin\"]"),
                "there is no [notify.admin]; did you mean `admins`?",
            ),
            (
                format!("[notify.a]\n{MAIL}\n[queue.q]\nworkers = 1\nnotify_on = [\"faild\"]"),
                "`faild` is not an event; did you mean `failed`?",
            ),
        ];
        for (settings, expected) in cases {
            let file = database.config("n", &settings);
            let output = sexton(&file).args(["config", "check"]).output().unwrap();
            let errors = output.errors();
            assert!(!output.status.success() && errors.contains(expected), "{settings}\n{errors}");
            assert!(!errors.contains("geheim"), "{errors}");
        }
        let sound = format!(
            "notify = [\"a\"]\nnotify_after = 2\nescalate = {{ after = \"1h\", to = [\"a\"] }}\n[notify.a]\n{MAIL}\ndigest = \"daily 08:00\"\n[queue.q]\nworkers = 1\nnotify = []\n\
                             [task.t]\ncommand = [\"true\"]\nnotify_on = [\"failed\", \"recovered\"]"
        );
        let file = database.config("n", &sound);
        let output = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert!(shown.contains("digest = \"daily 08:00\"") && shown.contains("escalate"), "{shown}");
    });
}
