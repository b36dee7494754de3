//! The looks so far: each has a time limit, and none stops another one.

use std::{cell::RefCell, time::Duration};

use crate::domain::{
    doctor::{Area, Diagnosis, DoctorReport, Unseen},
    text::duration,
};

/// The looks so far.
pub(super) struct Doctor {
    pub(super) limit: Duration,
    pub(super) report: RefCell<DoctorReport>,
}

impl Doctor {
    pub(super) fn add(&self, found: impl IntoIterator<Item = Diagnosis>) {
        self.report.borrow_mut().findings.extend(found);
    }

    pub(super) fn cannot_look(&self, area: Area, what: &str, reason: String) {
        self.report.borrow_mut().unseen.push(Unseen { area, what: what.to_owned(), reason });
    }

    /// Looks within the time limit. A look that fails or hangs is reported, and stops no other one.
    pub(super) async fn look(
        &self,
        area: Area,
        what: &str,
        looking: impl Future<Output = anyhow::Result<Vec<Diagnosis>>>,
    ) {
        match tokio::time::timeout(self.limit, looking).await {
            Ok(Ok(found)) => self.add(found),
            Ok(Err(error)) => self.cannot_look(area, what, format!("{error:#}")),
            Err(_) => self.cannot_look(area, what, self.too_late()),
        }
    }

    /// Why a look is given up.
    pub(super) fn too_late(&self) -> String {
        format!("no answer within {}", duration::text(self.limit))
    }
}

/// Does what may hang in the operating system on a thread of its own.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    Ok(crate::files::on_thread(work).await?)
}
