//! Events of applications, and the triggers that make tasks of them. What becomes of an event is decided here; the store
//! does it.

pub mod condition;
mod facts;
pub mod file_state;
pub mod mapping;
mod parser;
pub mod path;
pub mod path_watch;
pub mod pattern;
mod term;
mod token;
pub mod watchlist;

use std::time::Duration;

use serde_json::Value;
use sexton_client::domain::new_task::NewTask;
use sexton_entities::json_text::JsonText;

pub use self::facts::EventFacts;
use self::{
    condition::Condition,
    mapping::{KeyTemplate, PayloadMapping},
    path_watch::PathWatch,
    pattern::NamePattern,
};
use super::identity::QueueName;

/// Maximum number of bytes of a key, as of a unique key of a task.
const MAX_KEY: usize = 190;

/// `[trigger.NAME]`: makes a task of each event of certain names.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The names of its events.
    pub on: Vec<NamePattern>,
    /// The files of which the daemon sends it events.
    pub watch: Option<PathWatch>,
    /// The task definition.
    pub task: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The priority of its tasks.
    pub priority: i32,
    /// How long after its earliest start a task expires, by the definition.
    pub expires: Option<Duration>,
    /// The payload of its tasks; that of the event if absent.
    pub payload: Option<PayloadMapping>,
    /// The payload if the event has none, by the definition.
    pub default_payload: Option<Value>,
    /// The condition under which it makes a task.
    pub when: Option<Condition>,
    /// How it makes fewer tasks than there are events.
    pub pace: Option<TriggerPace>,
    /// How long after the event the task may begin.
    pub delay: Option<Duration>,
    /// The key that only one unfinished task may have.
    pub unique_key: Option<KeyTemplate>,
}

/// How a trigger makes fewer tasks than there are events.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerPace {
    /// Which events are left out.
    pub rule: PaceRule,
    /// The time.
    pub time: Duration,
    /// Events with different keys do not concern one another; without it, all events of the trigger do.
    pub key: Option<KeyTemplate>,
}

/// Which events are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceRule {
    /// All but the last one: its task begins once no other has come for the time.
    Debounce,
    /// Those that come within the time after one that made a task.
    Throttle,
}

/// What a trigger makes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum TriggerDecision {
    /// A task, unless its pace says otherwise. With the key of the pace.
    Enqueue(Box<NewTask>, Option<String>),
    /// Nothing: the condition does not hold, and why.
    NotMet(String),
    /// Nothing: no task can be made of it, and why.
    Refused(String),
}

impl Trigger {
    /// Whether it is for events of that name.
    pub fn matches(&self, name: &str) -> bool {
        self.on.iter().any(|pattern| pattern.matches(name))
    }

    /// What becomes of an event. `max_payload` is the largest payload in bytes.
    pub fn decide(&self, event: &EventFacts, max_payload: u64) -> TriggerDecision {
        if let Some(why) = self.when.as_ref().and_then(|when| when.unmet(event.payload.as_ref())) {
            return TriggerDecision::NotMet(why);
        }
        self.task_of(event, max_payload).unwrap_or_else(TriggerDecision::Refused)
    }

    fn task_of(&self, event: &EventFacts, max_payload: u64) -> Result<TriggerDecision, String> {
        let payload = match &self.payload {
            Some(mapping) => Some(mapping.fill(event)?),
            None => event.payload.clone().or_else(|| self.default_payload.clone().map(JsonText::from)),
        };
        let debounce = self.pace.as_ref().filter(|pace| pace.rule == PaceRule::Debounce);
        let task = NewTask {
            payload,
            queue: Some(self.queue.clone()),
            priority: Some(self.priority),
            expires: self.expires,
            delay: debounce.map(|pace| pace.time).or(self.delay),
            unique_key: self.unique_key.as_ref().map(|key| key.fill(event)).transpose()?,
            ..NewTask::new(self.task.as_str())
        };
        task.check().map_err(|invalid| invalid.to_string())?;
        task.check_size(max_payload).map_err(|invalid| invalid.to_string())?;
        let key = self.pace.as_ref().map(|pace| pace.key_for(event)).transpose()?;
        Ok(TriggerDecision::Enqueue(Box::new(task), key))
    }
}

impl TriggerPace {
    fn key_for(&self, event: &EventFacts) -> Result<String, String> {
        let key = self.key.as_ref().map(|key| key.fill(event)).transpose()?.unwrap_or_default();
        match key.len() {
            0..=MAX_KEY => Ok(key),
            bytes => Err(format!("the key has {bytes} bytes, at most {MAX_KEY} are allowed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trigger() -> Trigger {
        Trigger {
            name: "invoice".to_owned(),
            on: vec!["order.*".parse().expect("a pattern")],
            watch: None,
            task: "invoice".to_owned(),
            queue: "mail".into(),
            priority: 3,
            expires: None,
            payload: None,
            default_payload: None,
            when: None,
            pace: None,
            delay: None,
            unique_key: None,
        }
    }

    fn event(payload: Value) -> EventFacts {
        EventFacts {
            id: 1,
            name: "order.paid".to_owned(),
            payload: Some(payload.into()),
            created_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_task_has_the_payload_of_its_event() {
        let TriggerDecision::Enqueue(task, key) = trigger().decide(&event(json!({ "id": 5 })), 100) else {
            panic!("no task")
        };
        assert_eq!((task.name.as_str(), task.queue.as_deref(), task.priority), ("invoice", Some("mail"), Some(3)));
        assert_eq!((task.payload, key), (Some(json!({ "id": 5 }).into()), None));
        assert!(trigger().matches("order.paid") && !trigger().matches("customer.new"));
    }

    #[test]
    fn what_cannot_become_a_task_is_refused() {
        let large = trigger().decide(&event(json!("x".repeat(100))), 100);
        assert_eq!(
            large,
            TriggerDecision::Refused("the payload has 102 bytes, and daemon.max_payload allows 100".to_owned())
        );
        let keyed = Trigger { unique_key: Some("{$.id}".parse().expect("a key")), ..trigger() };
        assert!(matches!(keyed.decide(&event(json!({})), 100), TriggerDecision::Refused(_)));
        let key = Some("$.id".parse().expect("a key"));
        let pace = TriggerPace { rule: PaceRule::Throttle, time: Duration::from_secs(1), key };
        let paced = Trigger { pace: Some(pace), ..trigger() };
        assert!(matches!(paced.decide(&event(json!({ "id": "k".repeat(191) })), 1_000), TriggerDecision::Refused(_)));
    }
}
