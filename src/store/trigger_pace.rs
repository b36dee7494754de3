//! Triggers that make fewer tasks than there are events: debounce and throttle. One row for each key of a trigger says when
//! it makes the next task.

use sea_orm::Value;
use sexton_entities::states::EventFate;

use super::{
    Store, StoreError, connection::DatabaseTransaction, dialect::Kind, event_takes::TriggerResult, rows::Rows,
};
use crate::domain::{
    event::{PaceRule, Trigger, TriggerPace},
    task::NewTask,
};

const PACE: [(&str, Kind); 3] = [("trigger_name", Kind::Text), ("pace_key", Kind::Text), ("millis", Kind::Integer)];

impl Store {
    /// Makes the task of an event, unless the pace of its trigger says otherwise.
    pub(super) async fn enqueue_paced(
        &self,
        transaction: &DatabaseTransaction,
        trigger: &Trigger,
        pace: &TriggerPace,
        key: &str,
        task: &NewTask,
    ) -> Result<TriggerResult, StoreError> {
        let millis = i64::try_from(pace.time.as_millis()).unwrap_or(i64::MAX);
        let until = self.dialect.now_plus_millis("d.millis");
        let sql = self.dialect.insert_new(
            "sexton_trigger_pace (trigger_name, pace_key, until_at)",
            &format!("SELECT d.trigger_name, d.pace_key, {until} FROM {}", self.dialect.rows("d", &PACE)),
        );
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("trigger_name", trigger.name.clone()).set("pace_key", key).set("millis", millis);
        });
        let is_first = self.run(transaction, &sql, [rows.into_value()]).await? > 0;
        let place = [Value::from(trigger.name.as_str()), Value::from(key)];
        match pace.rule {
            PaceRule::Throttle => {
                let now = self.dialect.now();
                let sql = format!(
                    "UPDATE sexton_trigger_pace SET until_at = {} WHERE trigger_name = ? AND pace_key = ? \
                     AND until_at <= {now}",
                    self.dialect.now_plus_millis("?")
                );
                let [name, key] = place;
                if is_first || self.run(transaction, &sql, [millis.into(), name, key]).await? > 0 {
                    return Ok(TriggerResult::enqueued(self.enqueue(transaction, task).await?));
                }
                Ok(TriggerResult { fate: EventFate::Throttled, task: None, reason: None })
            }
            PaceRule::Debounce => {
                let earlier = if is_first { None } else { self.pending_task(transaction, place.clone()).await? };
                let (id, taken) = match earlier {
                    Some(id) if self.put_off(transaction, id, task, millis).await? => {
                        (id, TriggerResult { fate: EventFate::Debounced, task: Some(id), reason: None })
                    }
                    _ => {
                        let enqueued = self.enqueue(transaction, task).await?;
                        (enqueued.id(), TriggerResult::enqueued(enqueued))
                    }
                };
                let sql = format!(
                    "UPDATE sexton_trigger_pace SET until_at = {}, task_id = ? WHERE trigger_name = ? AND pace_key = ?",
                    self.dialect.now_plus_millis("?")
                );
                let [name, key] = place;
                self.run(transaction, &sql, [millis.into(), id.into(), name, key]).await?;
                Ok(taken)
            }
        }
    }

    /// The task of the latest event with this key.
    async fn pending_task(
        &self,
        transaction: &DatabaseTransaction,
        place: [Value; 2],
    ) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "SELECT task_id FROM sexton_trigger_pace WHERE trigger_name = ? AND pace_key = ? {}",
            self.dialect.for_update()
        );
        let rows = self.all(transaction, &sql, place).await?;
        Ok(rows.first().map(|row| row.try_get::<Option<i64>>("", "task_id")).transpose()?.flatten())
    }

    /// Gives a task that has not begun the payload of a later event, and makes it wait again. Returns false if its time has
    /// come.
    async fn put_off(
        &self,
        transaction: &DatabaseTransaction,
        id: i64,
        task: &NewTask,
        millis: i64,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sexton_task SET payload = {}, run_at = {} WHERE id = ? AND name = ? AND state = 'scheduled' \
             AND attempt = 0 AND snoozes = 0",
            self.dialect.json(self.dialect.text_parameter()),
            self.dialect.now_plus_millis("?")
        );
        let payload = task.payload.as_ref().map(|payload| payload.get().to_owned());
        let values = [payload.into(), millis.into(), id.into(), task.name.as_str().into()];
        Ok(self.run(transaction, &sql, values).await? > 0)
    }
}
