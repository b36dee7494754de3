//! Notices with the output of attempts: written in the transaction that records the attempts.

use std::collections::HashSet;

use sea_orm::TransactionTrait as _;
use serde_json::Value as Json;
use sexton_entities::states::{NoticeAbout, NoticeState};

use super::{Store, StoreError, connection::DatabaseTransaction, notices::NewNotice};
use crate::domain::{identity::DatabaseId, task::claim::Claim};

/// A notice with the output of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputNotice {
    /// The claim of the attempt.
    pub claim: Claim,
    /// The channel.
    pub channel: String,
    /// What is known of the attempt.
    pub facts: Json,
}

impl Store {
    /// Writes the notices of the attempts that were recorded. One that the database refuses is reported, and costs neither
    /// the record nor the others.
    pub(super) async fn write_output_notices(
        &self,
        transaction: &DatabaseTransaction,
        notices: &[OutputNotice],
        recorded: &HashSet<Claim>,
        database: &DatabaseId,
    ) -> Result<(), StoreError> {
        for notice in notices.iter().filter(|notice| recorded.contains(&notice.claim)) {
            let Claim { task_id, fence, .. } = notice.claim;
            let key = format!("output.{task_id}.{fence}.{}.{database}", notice.channel);
            let new = NewNotice {
                key: key.chars().take(190).collect(),
                channel: notice.channel.clone(),
                // What tasks print is not limited by the number of notices.
                max_per_hour: u32::MAX,
                about: NoticeAbout::Output,
                facts: notice.facts.clone(),
                is_gathered: false,
            };
            let part = transaction.begin().await?;
            let written = match self.insert_notice(&part, &new, None, NoticeState::Waiting).await {
                Ok(_) => Ok(part.commit().await?),
                // The whole transaction is over.
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    part.rollback().await?;
                    Err(error)
                }
            };
            self.isolated().part(format_args!("the output of task {task_id} by {}", notice.channel), written)?;
        }
        Ok(())
    }
}
