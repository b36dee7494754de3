//! Modules come, change and go with the configuration, while the daemon goes on.

use super::{House, is_gone, pid_of, runs};
use crate::{
    commands::unusual,
    support::{block_on, eventually},
};

fn sleeping(name: &str, sleep: &str, settings: &str) -> String {
    format!("[module.{name}]\ncommand = [\"sleep\", \"{sleep}\"]\n{settings}\n")
}

#[test]
fn a_reload_adds_changes_disables_and_removes_programs() {
    block_on(async {
        let (one, two, other) = (unusual(), unusual(), unusual());
        let mut house = House::new(&sleeping("one", &one, "")).await;
        let first = runs(&one).await;

        house.reload(&format!("{}{}", sleeping("one", &one, ""), sleeping("two", &two, "")));
        runs(&two).await;
        assert!(house.log().contains("modules added: two"), "{}", house.log());
        assert_eq!(pid_of(&one), Some(first), "what has not changed goes on");

        house.reload(&format!("{}{}", sleeping("one", &other, ""), sleeping("two", &two, "")));
        runs(&other).await;
        assert_eq!(pid_of(&one), None);

        house.reload(&format!("{}{}", sleeping("one", &other, "enabled = false"), sleeping("two", &two, "")));
        is_gone(&other).await;
        eventually("it is disabled", async || house.state("one").is_some_and(|state| state == "disabled")).await;

        house.reload(&format!("{}{}", sleeping("one", &other, ""), sleeping("two", &two, "")));
        runs(&other).await;

        house.reload(&sleeping("one", &other, ""));
        is_gone(&two).await;
        eventually("it is off the board", async || house.module("two").is_none()).await;
        assert!(house.module("one").is_some_and(|module| module["failures"] == 0));

        // With a mistake, everything stays.
        let kept = runs(&other).await;
        house.reload("[module.dispatchr]\ninterval = \"1s\"\n");
        house.daemon.as_ref().unwrap().wait_for_log("did you mean `dispatcher`?");
        assert_eq!(pid_of(&other), Some(kept));
        house.stop();
        assert_eq!(pid_of(&other), None);
    });
}

#[test]
fn a_reload_disables_and_enables_built_in_modules() {
    block_on(async {
        let mut house = House::new("[module.pruner]\nenabled = false\n").await;
        let becomes = async |state: &str| {
            let what = format!("the pruner is {state}");
            eventually(&what, async || house.state("pruner").is_some_and(|seen| seen == state)).await;
        };
        becomes("disabled").await;
        house.reload("");
        becomes("running").await;
        house.reload("[module.pruner]\nenabled = false\n");
        becomes("disabled").await;
        house.stop();
    });
}

#[test]
fn what_is_due_once_is_done_without_disabled_modules() {
    block_on(async {
        let mut house = House::new("").await;
        house.stop();
        house.database.config("n", "[module.cron]\nenabled = false\n[module.future]\nenabled = false\n");
        let mut daemon = crate::support::Daemon::spawn(&house.config, &["run", "--once"]);
        assert!(daemon.wait().success());
        house.database.config("n", "[module.dispatcher]\nenabled = false\n");
        let mut daemon = crate::support::Daemon::spawn(&house.config, &["run", "--once"]);
        assert!(daemon.wait().success());
    });
}
