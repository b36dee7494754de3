//! The cost of shepherds: commands per second with a shepherd and with a bare `posix_spawn` of the same command, at 1 and
//! 10 in parallel, from a small and from a large process.
//!
//! ```text
//! cargo bench --bench spawn
//! ```
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sexton::{
    domain::{command::CommandSpec, task::claim::Claim},
    shepherd::{AttemptManifest, LaunchSpec, Shepherds, boot_id},
};

/// Duration of one measurement.
const LENGTH: Duration = Duration::from_secs(2);
/// Number of measurements of each kind, alternating. The best one counts, because other load only slows down.
const ROUNDS: usize = 3;

fn main() {
    // `cargo test --benches` only checks that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<16} {:>10} {:>10} {:>12} {:>8}", "process", "parallel", "bare/s", "shepherd/s", "ratio");
    for (name, bytes) in [("small", 0), ("1 GiB resident", 1 << 30)] {
        let ballast = vec![1_u8; bytes];
        for parallel in [1, 10] {
            let (mut bare, mut shepherd) = (0.0_f64, 0.0_f64);
            for _ in 0..ROUNDS {
                bare = bare.max(bare_rate(parallel));
                shepherd = shepherd.max(shepherd_rate(parallel));
            }
            println!("{name:<16} {parallel:>10} {bare:>10.0} {shepherd:>12.0} {:>7.0} %", 100.0 * shepherd / bare);
        }
        std::hint::black_box(&ballast);
    }
}

/// The standard library starts the command with `posix_spawn`.
fn bare_rate(parallel: usize) -> f64 {
    let begun = Instant::now();
    let spawn = || {
        let mut count = 0_u32;
        while begun.elapsed() < LENGTH {
            let mut child = Command::new("/bin/true").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            assert!(child.wait().unwrap().success());
            count += 1;
        }
        count
    };
    let count: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parallel).map(|_| scope.spawn(spawn)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// All steps of kind `command` except the database: manifest, start, supervision and result.
fn shepherd_rate(parallel: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let shepherds = Shepherds::new(folder.path(), "bench".into(), env!("CARGO_BIN_EXE_sexton").into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let one = async |lane: i64| {
        let mut count = 0_u32;
        while begun.elapsed() < LENGTH {
            count += 1;
            let shepherd = shepherds.start(Claim::new(lane, i64::from(count)), &paper(), None).await.unwrap();
            shepherd.ended().await.unwrap();
            assert_eq!(shepherd.attempt_dir().result().unwrap().unwrap().exit_code, Some(0));
            shepherd.attempt_dir().remove();
        }
        count
    };
    let count: u32 =
        runtime.block_on(async { futures::future::join_all((0..parallel as i64).map(one)).await.into_iter().sum() });
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn paper() -> AttemptManifest<()> {
    let command = CommandSpec::new(vec!["/bin/true".to_owned()]);
    let spec = LaunchSpec {
        lease: None,
        title: "sexton: [bench] true #1".to_owned(),
        argv: command.argv,
        env: Vec::new(),
        dir: Path::new("/").to_owned(),
        limits: command.limits,
        output: command.output,
        timeout: Some(Duration::from_secs(60)),
        kill_after: Duration::from_secs(5),
        stop_signal: Default::default(),
        keep_background: false,
        uses_pipes: false,
        ends_with_daemon: false,
        cgroup: None,
    };
    AttemptManifest { boot_id: boot_id().to_owned(), spec, about: () }
}
