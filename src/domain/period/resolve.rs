//! From periods that name one another to periods that have one another.

use std::{collections::BTreeMap, sync::Arc};

use super::{Period, Periods, unknown};

/// A period whose includes and excludes are still names.
#[derive(Clone, Debug)]
pub struct PeriodDraft {
    /// The period, without them.
    pub period: Period,
    /// Names of periods whose times count as well.
    pub includes: Vec<String>,
    /// Names of periods whose times do not count.
    pub excludes: Vec<String>,
}

/// A name that leads nowhere, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The period that says it.
    pub period: String,
    /// Where it says it: `includes` or `excludes`.
    pub setting: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// Joins the periods. One that cannot be joined stands alone, and is told.
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
    /// The periods that wait for one another now.
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
