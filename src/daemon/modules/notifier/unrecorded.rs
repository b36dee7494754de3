//! Notices that were sent and are not recorded yet, because the database went away meanwhile. They are not sent again.

use std::cell::RefCell;

use sexton_entities::notice;

use crate::store::{Store, StoreError, Tried};

/// They are recorded as soon as the database is back. A crash before that sends them once more.
#[derive(Default)]
pub(super) struct Unrecorded(RefCell<Vec<notice::Model>>);

impl Unrecorded {
    pub(super) fn contains(&self, notice: &notice::Model) -> bool {
        self.0.borrow().iter().any(|known| known.id == notice.id)
    }

    /// Records that a notice was sent, now or later.
    pub(super) async fn record(&self, store: &Store, node: &str, notice: &notice::Model) -> Result<(), StoreError> {
        if !self.contains(notice) {
            self.0.borrow_mut().push(notice.clone());
        }
        store.record_notice(notice, node, &Tried::Sent).await?;
        self.0.borrow_mut().retain(|known| known.id != notice.id);
        Ok(())
    }

    /// Records those that could not be recorded before.
    pub(super) async fn record_all(&self, store: &Store, node: &str) -> Result<(), StoreError> {
        let waiting = self.0.borrow().clone();
        for notice in &waiting {
            let recorded = self.record(store, node, notice).await;
            store.isolated().part(format_args!("that notice {} was sent", notice.id), recorded)?;
        }
        Ok(())
    }
}
