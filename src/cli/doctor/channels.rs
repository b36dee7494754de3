//! The channels of notices. Nothing is sent.

use futures::future::join_all;

use super::looks::Doctor;
use crate::{
    config::Config,
    domain::doctor::{Area, Diagnosis},
    notice::{Probed, probe},
};

pub(super) async fn look(doctor: &Doctor, config: &Config) {
    if config.channels.is_empty() {
        return doctor.add([Diagnosis::note(
            Area::Notices,
            "No channel for notices is configured.",
            "Nobody is notified of failures.",
            "Add a [notify.NAME] table: see docs/NOTICES.md.",
        )]);
    }
    let looks = config.channels.iter().map(|(name, channel)| async move {
        let found = match tokio::time::timeout(doctor.limit, probe(channel)).await {
            Ok(Ok(Probed { certificate_ends: Some(end), .. })) => Diagnosis::warning(
                Area::Notices,
                format!("[notify.{name}]: the certificate of its server ends at {} UTC.", end.format("%Y-%m-%d %H:%M")),
                "From then on its notices are not sent.",
                "Renew the certificate of the server; with ACME, find out why it was not renewed.",
            ),
            Ok(Ok(Probed { found, .. })) => Diagnosis::ok(Area::Notices, format!("[notify.{name}]: {found}.")),
            Ok(Err(error)) => failure(name, &error.why),
            Err(_) => failure(name, "no answer in time"),
        };
        doctor.add([found]);
    });
    join_all(looks).await;
}

fn failure(name: &str, why: &str) -> Diagnosis {
    Diagnosis::error(
        Area::Notices,
        format!("[notify.{name}] does not work: {}.", why.trim_end_matches('.')),
        "Its notices are tried again for a day, and then given up.",
        format!("Check its settings; then: sexton notify test {name}"),
    )
}
