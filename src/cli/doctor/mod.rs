//! `sexton doctor`: looks at the whole installation, and says for each finding why it matters and what to do. It changes
//! nothing, and needs no daemon.

mod channels;
mod clock;
mod configuration;
mod daemon;
mod database;
mod host;
mod print;
mod systemd;

use std::{cell::RefCell, time::Duration};

use clap::Args;
use serde::Serialize;

use super::{
    exit_code::{DOCTOR_ERRORS, DOCTOR_WARNINGS},
    output::Printer,
    session::Session,
};
use crate::domain::{
    doctor::{Area, Diagnosis, DoctorReport, Gravity, Unseen},
    text::duration,
};

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Time limit of each look
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
    /// The unit of systemd that runs the daemon
    #[arg(long, value_name = "NAME", default_value = "sexton.service")]
    unit: String,
}

/// What the doctor answers as JSON.
#[derive(Serialize)]
struct DoctorAnswer {
    severity: Gravity,
    findings: Vec<Diagnosis>,
    unseen: Vec<Unseen>,
}

/// The looks so far.
struct Doctor {
    limit: Duration,
    report: RefCell<DoctorReport>,
}

impl Doctor {
    fn add(&self, found: impl IntoIterator<Item = Diagnosis>) {
        self.report.borrow_mut().findings.extend(found);
    }

    fn cannot_look(&self, area: Area, what: &str, reason: String) {
        self.report.borrow_mut().unseen.push(Unseen { area, what: what.to_owned(), reason });
    }

    /// Looks within the time limit. A look that fails or hangs is reported, and stops no other one.
    async fn look(&self, area: Area, what: &str, looking: impl Future<Output = anyhow::Result<Vec<Diagnosis>>>) {
        match tokio::time::timeout(self.limit, looking).await {
            Ok(Ok(found)) => self.add(found),
            Ok(Err(error)) => self.cannot_look(area, what, format!("{error:#}")),
            Err(_) => self.cannot_look(area, what, format!("no answer within {}", duration::text(self.limit))),
        }
    }
}

/// Does what may hang in the operating system on a thread of its own, which nobody waits for at the end.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    let (tell, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("look".to_owned()).spawn(move || drop(tell.send(work())))?;
    answer.await.map_err(|_| anyhow::anyhow!("the look has failed by a mistake in this program"))
}

pub(super) async fn run(session: &Session, output: Printer, args: &DoctorArgs) -> anyhow::Result<u8> {
    session.be_silent();
    let doctor = Doctor { limit: args.timeout, report: RefCell::default() };
    let (config, mistakes) = session.config_anyway();
    configuration::look(&doctor, session, &config, &mistakes);
    let of_host = async {
        let process = daemon::look(&doctor, session).await;
        let of_unit = systemd::look(&doctor, session, &config, &args.unit).await;
        let account = process.as_ref().map(|process| process.owner.clone()).or(of_unit);
        host::look(&doctor, &config, process.as_ref(), account.as_deref()).await;
    };
    let of_database = database::look(&doctor, session, &config);
    let of_clock = clock::look(&doctor, &config);
    let of_channels = channels::look(&doctor, &config);
    tokio::join!(of_host, of_database, of_clock, of_channels);
    let mut report = doctor.report.into_inner();
    report.sort();
    let worst = report.worst();
    if output.is_json() {
        let DoctorReport { findings, unseen } = report;
        output.value(&DoctorAnswer { severity: worst, findings, unseen })?;
    } else {
        print::print(output, &report);
    }
    Ok(match worst {
        Gravity::Ok | Gravity::Note => 0,
        Gravity::Warning => DOCTOR_WARNINGS,
        Gravity::Error => DOCTOR_ERRORS,
    })
}
