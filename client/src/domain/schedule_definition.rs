//! The definition of a schedule as its row in the database has it. Nodes read it by the rules of `[schedule.NAME]`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{json, new_task::check_name};

/// A schedule in the database: which task it starts, when, and with which settings of its own.
///
/// The database names a task that the configuration defines. It never says what is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScheduleDefinition {
    /// Its unique name.
    pub name: String,
    /// The name of the task definition that it starts.
    pub task: String,
    /// Its crontab expression. `None` if `settings` has another recurrence.
    pub cron: Option<String>,
    /// The time zone of its recurrence. `None` means that of the configuration.
    pub timezone: Option<String>,
    /// The payload of its tasks, as JSON. `None` means that of the task definition.
    pub payload: Option<String>,
    /// Further settings of `[schedule.NAME]`, as a JSON object.
    pub settings: Option<String>,
}

/// Why a schedule cannot be kept in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Its name is invalid.
    #[error("schedule name: {0}")]
    Name(String),
    /// The name of its task is invalid.
    #[error("task name: {0}")]
    Task(String),
    /// The payload is no JSON, or no database keeps it.
    #[error("payload: {0}")]
    Payload(String),
    /// The settings are no JSON object.
    #[error("settings: {0}")]
    Settings(String),
    /// A value has a character that the databases do not keep, or is too long.
    #[error("{0}: it contains the character NUL, or is too long for its column")]
    Value(&'static str),
}

/// The longest name of a time zone that the column takes.
const MAX_ZONE: usize = 64;

impl ScheduleDefinition {
    /// A schedule of that name, which starts that task. It needs a recurrence.
    pub fn new(name: impl Into<String>, task: impl Into<String>) -> Self {
        Self { name: name.into(), task: task.into(), ..Self::default() }
    }

    /// Sets the crontab expression.
    #[must_use]
    pub fn cron(self, expression: impl Into<String>) -> Self {
        Self { cron: Some(expression.into()), ..self }
    }

    /// Sets the time zone of the recurrence, such as `Europe/Berlin`.
    #[must_use]
    pub fn timezone(self, zone: impl Into<String>) -> Self {
        Self { timezone: Some(zone.into()), ..self }
    }

    /// Sets the payload of its tasks.
    #[must_use]
    pub fn payload(self, payload: &Value) -> Self {
        Self { payload: Some(payload.to_string()), ..self }
    }

    /// Sets another setting of `[schedule.NAME]`, such as `every`, `queue` or `missed`. Null removes it.
    #[must_use]
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        let mut settings = self.settings().unwrap_or_default();
        match value.into() {
            Value::Null => drop(settings.remove(key)),
            value => drop(settings.insert(key.to_owned(), value)),
        }
        let settings = (!settings.is_empty()).then(|| Value::Object(settings).to_string());
        Self { settings, ..self }
    }

    /// The further settings.
    ///
    /// # Errors
    /// If they are no JSON object.
    #[doc(hidden)]
    pub fn settings(&self) -> Result<Map<String, Value>, InvalidSchedule> {
        let Some(text) = &self.settings else { return Ok(Map::new()) };
        match serde_json::from_str(text) {
            Ok(Value::Object(settings)) => Ok(settings),
            Ok(_) => Err(InvalidSchedule::Settings("expected a JSON object".to_owned())),
            Err(error) => Err(InvalidSchedule::Settings(format!("it is not JSON: {error}"))),
        }
    }

    /// The payload.
    ///
    /// # Errors
    /// If it is no JSON, or no database keeps it.
    pub fn payload_value(&self) -> Result<Option<Value>, InvalidSchedule> {
        let Some(text) = &self.payload else { return Ok(None) };
        let value = serde_json::from_str(text);
        let value = value.map_err(|error| InvalidSchedule::Payload(format!("it is not JSON: {error}")))?;
        json::check(text).map_err(|error| InvalidSchedule::Payload(error.to_string()))?;
        Ok(Some(value))
    }

    /// Checks what every database must accept. Whether nodes can use it depends on their configuration.
    ///
    /// # Errors
    /// If a name, the payload or the settings are invalid.
    pub fn check(&self) -> Result<(), InvalidSchedule> {
        check_name(&self.name).map_err(InvalidSchedule::Name)?;
        check_name(&self.task).map_err(InvalidSchedule::Task)?;
        self.payload_value()?;
        self.settings()?;
        let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
        if has_nul(&self.cron) {
            return Err(InvalidSchedule::Value("cron"));
        }
        if has_nul(&self.timezone) || self.timezone.as_ref().is_some_and(|zone| zone.len() > MAX_ZONE) {
            return Err(InvalidSchedule::Value("timezone"));
        }
        match &self.settings {
            Some(text) => json::check(text).map_err(|error| InvalidSchedule::Settings(error.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_set_and_removed() {
        let schedule = ScheduleDefinition::new("nightly", "report").set("every", "1h").set("priority", 3);
        assert_eq!(schedule.settings.as_deref(), Some(r#"{"every":"1h","priority":3}"#));
        let schedule = schedule.set("every", Value::Null).set("priority", Value::Null);
        assert_eq!((schedule.settings.clone(), schedule.check()), (None, Ok(())));
        assert_eq!(schedule.payload(&json!({"a": 1})).payload.as_deref(), Some(r#"{"a":1}"#));
    }

    #[test]
    fn what_a_database_would_refuse_is_refused() {
        let schedule = ScheduleDefinition::new("nightly", "report");
        let with = |payload: &str| ScheduleDefinition { payload: Some(payload.to_owned()), ..schedule.clone() };
        assert!(matches!(with("{").check(), Err(InvalidSchedule::Payload(_))));
        assert!(matches!(with(r#""\u0000""#).check(), Err(InvalidSchedule::Payload(_))));
        assert!(matches!(ScheduleDefinition::new("a b", "report").check(), Err(InvalidSchedule::Name(_))));
        assert!(matches!(ScheduleDefinition::new("a", "").check(), Err(InvalidSchedule::Task(_))));
        assert_eq!(schedule.clone().timezone("x".repeat(65)).check(), Err(InvalidSchedule::Value("timezone")));
        let settings = ScheduleDefinition { settings: Some("[]".to_owned()), ..schedule };
        assert!(matches!(settings.check(), Err(InvalidSchedule::Settings(_))));
    }
}
