//! The example crate at work: a stranger's handler and module, through the public surface alone.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use sexton::store::{ConnectOptions, HistoryFilter, Store};
use sexton_entities::states::{Outcome, Verdict};

/// Waits until `condition` holds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < end, "waited without success: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_test_daemon_prints_the_time_and_is_replaced() {
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("greenhouse.toml");
        let config = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/greenhouse.toml")).unwrap();
        let faster = "[module.test-daemon]\ninterval = \"20ms\"\nrecycle_after = \"1s\"\n";
        std::fs::write(&file, config.replace("[daemon]\n", "[daemon]\nheartbeat = \"100ms\"\n") + faster).unwrap();
        let log = folder.path().join("log");
        let call = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_greenhouse"));
            command.arg("--config").arg(&file).args(arguments).current_dir(folder.path());
            command
        };
        let mut daemon = call(&["run"]).stdout(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        eventually("it prints the time", async || {
            std::fs::read_to_string(&log).unwrap().matches("test-daemon: it is ").count() >= 20
        })
        .await;
        eventually("it is replaced", async || {
            let listed = call(&["module", "list", "--json"]).output().unwrap();
            let modules: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            let found = modules.as_array().into_iter().flatten().find(|module| module["name"] == "test-daemon");
            found.is_some_and(|module| module["recycled"].as_u64() >= Some(3) && module["failures"] == 0)
        })
        .await;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
        assert!(daemon.wait().unwrap().success());
    });
}

#[test]
fn the_greenhouse_waters_its_beds() {
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let config = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/greenhouse.toml")).unwrap();
        let file = folder.path().join("greenhouse.toml");
        std::fs::write(&file, config).unwrap();
        let call = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_greenhouse"));
            command.arg("--config").arg(&file).args(arguments).current_dir(folder.path());
            command
        };
        let mut daemon = call(&["run", "--for", "30s"]).spawn().unwrap();
        let store = Store::connect(&ConnectOptions::new(format!(
            "sqlite://{}",
            folder.path().join("var/greenhouse.db").display()
        )))
        .unwrap();
        let of = async |name: &str| {
            let filter = HistoryFilter { name: Some(name.to_owned()), limit: 1_000, ..HistoryFilter::default() };
            store.history(&filter).await.unwrap_or_default()
        };
        let completed = |verdict| verdict == Some(Verdict::Completed);
        eventually("the thermometer has watered the tomatoes", async || {
            of("water").await.iter().any(|row| completed(row.verdict))
        })
        .await;
        eventually("the schedule has watered the herbs", async || {
            of("water-the-herbs").await.iter().any(|row| completed(row.verdict))
        })
        .await;
        let row = of("water-the-herbs").await.into_iter().find(|row| completed(row.verdict)).unwrap();
        assert_eq!((row.kind.as_deref(), row.queue.as_deref()), (Some("water"), Some("garden")));
        assert!(store.output(row.id).await.unwrap().unwrap().stdout.contains("herbs got 1 litres in attempt"));
        assert!(
            call(&["task", "add", "water", "--payload", "{\"bed\": \"roses\", \"litres\": 0}"])
                .status()
                .unwrap()
                .success()
        );
        assert!(call(&["task", "add", "water", "--payload", "{\"bed\": 7}"]).status().unwrap().success());
        eventually("both are discarded", async || {
            of("water")
                .await
                .iter()
                .filter(|row| row.outcome == Outcome::Failed && row.verdict == Some(Verdict::Discarded))
                .count()
                == 2
        })
        .await;
        let errors: Vec<String> = of("water").await.into_iter().filter_map(|row| row.error).collect();
        assert!(errors.iter().any(|error| error == "0 litres are no watering"), "{errors:?}");
        assert!(
            errors
                .iter()
                .any(|error| error.starts_with("the payload does not fit: field `bed`: invalid type: integer `7`")),
            "{errors:?}"
        );
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM)
            .unwrap();
        assert!(daemon.wait().unwrap().success());
    });
}
