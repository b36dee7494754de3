//! Resolves the names in `includes` and `excludes` to periods.

use std::{collections::BTreeMap, sync::Arc};

use super::{Period, Periods, unknown};

/// A period with unresolved names.
#[derive(Clone, Debug)]
pub struct PeriodDraft {
    /// The period without includes and excludes.
    pub period: Period,
    /// Names of periods that add their times.
    pub includes: Vec<String>,
    /// Names of periods that remove their times.
    pub excludes: Vec<String>,
}

/// A name that is unknown or part of a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the period with the mistake.
    pub period: String,
    /// The setting with the mistake: `includes` or `excludes`.
    pub setting: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// Resolves all names. A name that cannot be resolved is left out and reported as a fault.
pub fn resolve(drafts: &BTreeMap<String, PeriodDraft>) -> (Periods, Vec<Fault>) {
    let mut joining = Joining { drafts, done: BTreeMap::new(), chain: Vec::new(), faults: Vec::new() };
    for name in drafts.keys() {
        joining.join(name);
    }
    (Periods(joining.done), joining.faults)
}

struct Joining<'a> {
    drafts: &'a BTreeMap<String, PeriodDraft>,
    done: BTreeMap<String, Arc<Period>>,
    /// The periods being resolved, each named by the one before it.
    chain: Vec<&'a str>,
    faults: Vec<Fault>,
}

impl<'a> Joining<'a> {
    fn join(&mut self, name: &'a str) -> Option<Arc<Period>> {
        if let Some(done) = self.done.get(name) {
            return Some(done.clone());
        }
        let draft = self.drafts.get(name)?;
        self.chain.push(name);
        let includes = self.named(name, "includes", &draft.includes);
        let excludes = self.named(name, "excludes", &draft.excludes);
        self.chain.pop();
        let period = Arc::new(Period { includes, excludes, ..draft.period.clone() });
        self.done.insert(name.to_owned(), period.clone());
        Some(period)
    }

    fn named(&mut self, period: &'a str, setting: &'static str, names: &'a [String]) -> Vec<Arc<Period>> {
        let mut found = Vec::new();
        for name in names {
            let fault = match self.chain.iter().position(|waiting| waiting == name) {
                Some(begin) => {
                    let circle: Vec<&str> = self.chain[begin..].iter().copied().chain([name.as_str()]).collect();
                    format!("`{name}` leads back to itself: {}", circle.join(" → "))
                }
                None => match self.join(name) {
                    Some(other) => {
                        found.push(other);
                        continue;
                    }
                    None => {
                        let chain = if self.chain.len() > 1 {
                            format!(" ({})", self.chain.join(" → "))
                        } else {
                            String::new()
                        };
                        unknown(name, self.drafts.keys().filter(|known| *known != period)) + &chain
                    }
                },
            };
            self.faults.push(Fault { period: period.to_owned(), setting, problem: fault });
        }
        found
    }
}
