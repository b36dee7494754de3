//! `sexton doctor`: looks at the whole installation, and says for each finding why it matters and what to do. It changes
//! nothing, and needs no daemon.

mod channels;
mod clock;
mod configuration;
mod daemon;
mod database;
mod host;
mod looks;
mod print;
mod systemd;

use std::{cell::RefCell, time::Duration};

use clap::Args;
use serde::Serialize;

use self::looks::Doctor;
use super::{
    exit_code::{DOCTOR_ERRORS, DOCTOR_WARNINGS},
    output::Printer,
    session::Session,
};
use crate::domain::{
    doctor::{Diagnosis, DoctorReport, Gravity, Unseen},
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

pub(super) async fn run(session: &Session, output: Printer, args: &DoctorArgs) -> anyhow::Result<u8> {
    session.be_silent();
    let doctor = Doctor { limit: args.timeout, report: RefCell::default() };
    let (config, mistakes) = session.config_anyway();
    configuration::look(&doctor, session, &config, &mistakes).await;
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
