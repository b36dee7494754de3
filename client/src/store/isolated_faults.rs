//! What was isolated because it is bad: rows, attempts, schedules and files. The rest goes on.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::Mutex;

use super::error::StoreError;

/// The maximum number that is remembered. More are counted, and not named.
const MAX_NAMED: usize = 1_000;

/// What is isolated at present, each with the reason. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Isolated {
    register: Arc<Mutex<Register>>,
}

#[derive(Debug, Default)]
struct Register {
    /// The reason of each.
    reasons: BTreeMap<String, String>,
    /// How many are not named.
    unnamed: u64,
}

impl Isolated {
    /// Notes that something is isolated, and why. It is logged once.
    pub fn note(&self, what: impl fmt::Display, why: impl fmt::Display) {
        let (what, why) = (what.to_string(), why.to_string());
        let mut register = self.register.lock();
        if register.reasons.contains_key(&what) {
            return;
        }
        if register.reasons.len() >= MAX_NAMED {
            register.unnamed += 1;
            return;
        }
        register.reasons.insert(what.clone(), why.clone());
        drop(register);
        tracing::error!("{what}: {why}");
    }

    /// It is sound again, or gone.
    pub fn forget(&self, what: impl fmt::Display) {
        let mut register = self.register.lock();
        // It is called after each part that went well.
        if !register.reasons.is_empty() {
            register.reasons.remove(&what.to_string());
        }
    }

    /// How many things are isolated.
    pub fn count(&self) -> u64 {
        let register = self.register.lock();
        register.reasons.len() as u64 + register.unnamed
    }

    /// A sentence for each of the first `limit`.
    pub fn sentences(&self, limit: usize) -> Vec<String> {
        self.register.lock().reasons.iter().take(limit).map(|(what, why)| format!("{what}: {why}")).collect()
    }

    /// The result of one part of the work. What the database refuses there is noted, and does not stop the other parts.
    ///
    /// # Errors
    /// If the database does not answer.
    pub fn part<T: Default>(
        &self,
        what: impl fmt::Display + Copy,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match result {
            Err(error) if !error.is_outage() => {
                self.note(what, error);
                Ok(T::default())
            }
            result => result.inspect(|_| self.forget(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_forgotten() {
        let isolated = Isolated::default();
        for why in ["first", "second"] {
            isolated.note("task 7", why);
        }
        assert_eq!((isolated.count(), isolated.sentences(10)), (1, vec!["task 7: first".to_owned()]));
        isolated.forget("task 7");
        assert_eq!(isolated.count(), 0);
    }

    #[test]
    fn only_so_many_are_named() {
        let isolated = Isolated::default();
        for number in 0..MAX_NAMED + 5 {
            isolated.note(number, "it is bad");
        }
        assert_eq!((isolated.count(), isolated.sentences(3).len()), (1_005, 3));
    }
}
