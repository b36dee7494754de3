//! A model of the delivery contract, explored exhaustively: two nodes, two tasks, and a bounded amount of trouble.
//!
//! `rules` has the rules as they were and as they are. With the earlier ones the checker must find the faults that were
//! seen on real databases; with the mended ones it must find nothing. `state`, `protocol` and `transactions` say what is modelled: claim,
//! lease, fence, finish with a lost answer, rescue, adoption, the spool, and a database that goes away, forgets its last
//! commits, or is replaced by another one.
//!
//! What is not modelled: a daemon that is frozen, and a command that outlives its daemon for longer than the lease. Of a
//! bound of one, the lease cannot hold either back.

#[path = "model/properties.rs"]
mod properties;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/state.rs"]
mod state;
#[path = "model/transactions.rs"]
mod transactions;

use stateright::{Checker, Model};

use crate::{
    properties::{ALWAYS, NOT_REPEATED, NOTHING_LOST, ON_RECORD, ONE_HOLDER},
    protocol::Protocol,
    rules::{ClaimedAgain, Identity, Rescue, Rules, Stop},
    state::Trouble,
};

/// An answer is lost, and the database forgets its last commits.
const FAILOVER: Protocol = Protocol {
    rules: Rules::MENDED,
    trouble: Trouble { lost_answers: 1, failovers: 1, ..NO_TROUBLE },
    end: 0,
    most: 3,
    is_bounded: false,
};
/// A daemon dies, and the database forgets its last commits.
const CRASH_AND_FAILOVER: Protocol =
    Protocol { trouble: Trouble { crashes: 1, failovers: 1, ..NO_TROUBLE }, ..FAILOVER };
/// Both daemons die, and an answer is lost.
const CRASHES: Protocol = Protocol { trouble: Trouble { crashes: 2, lost_answers: 1, ..NO_TROUBLE }, ..FAILOVER };
/// Both daemons die, and find another database when they start.
const REPLACEMENT: Protocol = Protocol {
    rules: Rules::MENDED,
    trouble: Trouble { crashes: 2, replacements: 1, ..NO_TROUBLE },
    end: 0,
    most: 3,
    is_bounded: false,
};
/// A node is cut off for longer than its lease, while at most one task may run.
const CUTS: Protocol =
    Protocol { rules: Rules::MENDED, trouble: Trouble { cuts: 1, ..NO_TROUBLE }, end: 4, most: 3, is_bounded: true };
/// The database is away for longer than the leases.
const OUTAGE: Protocol = Protocol {
    rules: Rules::MENDED,
    trouble: Trouble { outages: 1, ..NO_TROUBLE },
    end: 5,
    most: 3,
    is_bounded: false,
};
const NO_TROUBLE: Trouble = Trouble { crashes: 0, lost_answers: 0, failovers: 0, replacements: 0, outages: 0, cuts: 0 };

/// The properties against which the checker finds a counter-example.
fn faults(protocol: Protocol) -> Vec<&'static str> {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    assert!(checker.is_done());
    let found = checker.discoveries();
    eprintln!("{} states of {protocol:?}", checker.unique_state_count());
    for (property, path) in &found {
        if ALWAYS.contains(property) {
            eprintln!("against «{property}»: {:?}", path.clone().into_actions());
        }
    }
    assert!(found.contains_key("all is done"), "the tasks can be finished at all");
    ALWAYS.into_iter().filter(|property| found.contains_key(property)).collect()
}

fn with(protocol: Protocol, rules: Rules) -> Vec<&'static str> {
    faults(Protocol { rules, ..protocol })
}

#[test]
fn a_failover_that_forgets_commits_loses_nothing() {
    assert_eq!(faults(FAILOVER), [] as [&str; 0]);
    assert_eq!(faults(CRASH_AND_FAILOVER), [] as [&str; 0]);
}

#[test]
fn crashes_and_lost_answers_lose_nothing() {
    assert_eq!(faults(CRASHES), [] as [&str; 0]);
}

#[test]
fn leftovers_of_another_database_are_put_aside() {
    assert_eq!(faults(REPLACEMENT), [] as [&str; 0]);
}

#[test]
fn a_bound_of_one_is_kept_by_nodes_that_are_cut_off() {
    assert_eq!(faults(CUTS), [] as [&str; 0]);
}

#[test]
fn an_outage_repeats_nothing() {
    assert_eq!(faults(OUTAGE), [] as [&str; 0]);
}

#[test]
fn the_earlier_rules_lose_executions_in_a_failover() {
    let found = with(FAILOVER, Rules::EARLIER);
    assert!(found.contains(&ON_RECORD) && found.contains(&NOTHING_LOST), "{found:?}");
    // The fence alone is not enough: the clock of the new primary may be behind.
    let fence_only = Rules { identity: Identity::FenceOnly, ..Rules::MENDED };
    assert!(with(FAILOVER, fence_only).contains(&ON_RECORD));
    let replaces = Rules { claimed_again: ClaimedAgain::Replaces, ..Rules::MENDED };
    assert!(with(FAILOVER, replaces).contains(&NOTHING_LOST));
}

#[test]
fn the_earlier_rules_apply_leftovers_to_another_database() {
    assert!(with(REPLACEMENT, Rules::EARLIER).contains(&NOTHING_LOST));
}

#[test]
fn the_earlier_rules_let_two_hold_a_bound_of_one() {
    let late = Rules { stop: Stop::AtItsEnd, ..Rules::MENDED };
    assert_eq!(with(CUTS, late), [ONE_HOLDER]);
}

#[test]
fn the_earlier_rules_repeat_work_after_an_outage() {
    let at_once = Rules { rescue: Rescue::AtOnce, ..Rules::MENDED };
    assert_eq!(with(OUTAGE, at_once), [NOT_REPEATED]);
}
