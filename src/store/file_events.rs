//! Events of files, which the daemon sends itself: many at once, and kept as long as their files.

use sexton_client::domain::new_event::NewEvent;

use super::{Store, StoreError, dialect::Kind, portions::in_portions, rows::Rows};

/// The number of events of one statement.
const PORTION: usize = 500;
const COLUMNS: [(&str, Kind); 3] = [("name", Kind::Text), ("payload", Kind::Text), ("event_key", Kind::Text)];

impl Store {
    /// Sends the events of files. One whose key is there is not sent again, and is kept for longer. One that cannot be sent
    /// keeps no other back. Returns those, by key, each with the reason.
    ///
    /// # Errors
    /// If the database is unavailable: then some may have been sent.
    pub async fn send_file_events(
        &self,
        events: &[NewEvent],
        progress: impl Fn(),
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut refused = Vec::new();
        let key = |event: &NewEvent| event.key.clone().unwrap_or_default();
        let mut sound = Vec::with_capacity(events.len());
        for event in events {
            match event.check(self.max_payload()) {
                Ok(()) => sound.push(event),
                Err(why) => refused.push((key(event), why.to_string())),
            }
        }
        // Nodes that share a folder lock in the same order.
        sound.sort_by(|a, b| a.key.cmp(&b.key));
        let done = in_portions(sound.chunks(PORTION), async |portion: &[&NewEvent]| {
            progress();
            self.with_retries(async || self.insert_file_events(portion).await).await
        })
        .await?;
        refused.extend(done.refused.into_iter().map(|(event, why)| (key(event), why)));
        Ok(refused)
    }

    async fn insert_file_events(&self, events: &[&NewEvent]) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let payload = self.dialect.json("d.payload");
        let select = format!("SELECT d.name, {payload}, d.event_key, {now} FROM {}", self.dialect.rows("d", &COLUMNS));
        let into = ("sexton_event", "event_key");
        let sets = [("seen_at", now.to_owned())];
        let sql = self.dialect.upsert(into, "name, payload, event_key, seen_at", &select, &sets);
        let mut rows = Rows::new(self.dialect);
        for event in events {
            rows.push(|row| {
                row.set("name", event.name.clone())
                    .json("payload", event.payload.as_ref())
                    .set("event_key", event.key.clone());
            });
        }
        self.run(&self.db, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// Enters why a node cannot watch the files of a trigger; none if it can. Returns whether the trigger is registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_trigger_trouble(&self, name: &str, node: &str, why: Option<&str>) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sexton_trigger SET trouble = {} WHERE name = ? AND node = ?",
            self.dialect.text_parameter()
        );
        let why = why.map(|why| why.replace('\0', ""));
        let changed = self
            .with_retries(async || self.run(&self.db, &sql, [why.clone().into(), name.into(), node.into()]).await)
            .await?;
        Ok(changed > 0)
    }
}
