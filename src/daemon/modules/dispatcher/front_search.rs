//! When queues are searched from their front, and when from behind the tasks that this node claimed last.
//!
//! Normally from the front. While that takes long, because the database has to read dead rows that an open transaction still sees,
//! searches begin behind the position of the latest claim, and the front is searched from time to time: there are tasks that
//! became available after later ones, such as those that are tried again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    daemon::state::wakers::{WakeReason, WakeReasons},
    domain::{identity::QueueName, task::claim_position::ClaimPosition},
};

/// By this name slow searches are reported.
pub(super) const SEARCH: &str = "the search for available tasks";
/// A search is slow that takes this much longer than one that reads no dead rows, which shows how far away the server is.
const SLOW: Duration = Duration::from_millis(2);
/// From this number of slow searches in a row on, it is not by chance.
const SLOW_IN_A_ROW: u32 = 2;
/// Slow searches are worth a report from here on.
const WORTH_A_REPORT: Duration = Duration::from_millis(20);
/// Searches that are slow for this long are reported.
const REPORTED_AFTER: Duration = Duration::from_secs(10);
/// The rest after a slow search from the front is this many times as long as the search, and at least that of a poll.
const REST_FACTOR: u32 = 10;
const MIN_REST: Duration = Duration::from_millis(250);
/// The factor if tasks were promoted, which stand in front of the position.
const REST_FACTOR_IF_PROMOTED: u32 = 2;

#[derive(Default)]
pub(super) struct FrontSearch {
    positions: HashMap<QueueName, ClaimPosition>,
    slow_in_a_row: u32,
    /// The time of the fastest search since the first one from behind the positions.
    fastest: Option<Duration>,
    /// When the front is searched again, and when if tasks are promoted until then.
    next: Option<Instant>,
    next_if_promoted: Option<Instant>,
    /// This round searches from the front.
    is_now: bool,
    /// Tasks became available since the last search from the front.
    is_wanted: bool,
    slow_since: Option<Instant>,
    is_reported: bool,
}

/// What there is to report of searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchReport {
    /// They are slow. The front is searched again after this rest.
    Slow(Duration),
    /// They are fast again.
    Fast,
}

impl FrontSearch {
    /// A round begins.
    pub(super) fn begin_round(&mut self, reasons: WakeReasons) {
        self.is_now = false;
        self.is_wanted |= reasons.contains(WakeReason::Enqueued) || reasons.contains(WakeReason::SlotFree);
        if reasons.contains(WakeReason::Promoted) {
            self.next = self.next.and(self.next_if_promoted);
        }
    }

    /// The positions behind which this round searches; none if it searches from the front.
    pub(super) fn positions(&mut self, now: Instant) -> Option<&HashMap<QueueName, ClaimPosition>> {
        self.is_now |= self.next.is_none_or(|next| next <= now);
        (!self.is_now).then_some(&self.positions)
    }

    /// The position behind which this round claims from a queue; none if it claims from the front.
    pub(super) fn position(&self, queue: &QueueName) -> Option<&ClaimPosition> {
        self.positions.get(queue).filter(|_| self.next.is_some() && !self.is_now)
    }

    /// Tasks up to this position were claimed, and if `has_more`, others may follow directly.
    pub(super) fn note_claimed(&mut self, queue: &QueueName, claimed: &ClaimPosition, has_more: bool) {
        if claimed.is_start() {
            return;
        }
        let position = self.positions.entry(queue.clone()).or_default();
        match self.is_now && has_more {
            // The claims after this one go on here, in front of where they were.
            true => position.return_to(claimed),
            false => position.advance_to(claimed),
        }
    }

    /// Whether something was claimed from that queue.
    pub(super) fn has_position(&self, queue: &QueueName) -> bool {
        self.positions.contains_key(queue)
    }

    /// A search from behind the positions took this long.
    pub(super) fn note_search_behind(&mut self, took: Duration) {
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
    }

    /// A search from the front took this long. `is_whole` says that it covered each queue that has a position. Returns what there is
    /// to report.
    pub(super) fn note_search(&mut self, now: Instant, took: Duration, is_whole: bool) -> Option<SearchReport> {
        (self.is_now, self.is_wanted) = (true, false);
        let is_slow = took >= SLOW + self.fastest.unwrap_or_default();
        self.fastest = self.fastest.map(|fastest| fastest.min(took));
        if !is_slow && !is_whole {
            // The slow queue may be one of the others.
            return None;
        }
        self.slow_in_a_row = if is_slow { self.slow_in_a_row.saturating_add(1) } else { 0 };
        let rest = (self.slow_in_a_row >= SLOW_IN_A_ROW).then(|| (took * REST_FACTOR).max(MIN_REST));
        self.next = rest.map(|rest| now + rest);
        self.next_if_promoted = rest.map(|_| now + took * REST_FACTOR_IF_PROMOTED);
        self.slow_since = rest.filter(|_| took >= WORTH_A_REPORT).map(|_| self.slow_since.unwrap_or(now));
        let is_reported = self.is_reported;
        self.is_reported = match self.slow_since {
            Some(since) => is_reported || now.saturating_duration_since(since) >= REPORTED_AFTER,
            None => false,
        };
        match (is_reported, self.is_reported) {
            (false, true) => rest.map(SearchReport::Slow),
            (true, false) => Some(SearchReport::Fast),
            _ => None,
        }
    }

    /// A claim that searched a queue took this long. What is slow from the front rests.
    pub(super) fn note_claim(&mut self, now: Instant, took: Duration) {
        if self.is_now {
            self.next = self.next.map(|next| next.max(now + took * REST_FACTOR));
        }
    }

    /// How long until the front has to be searched again, if anything came since the last time.
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        self.next.filter(|_| self.is_wanted).map(|next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::state::wakers::Waker;

    const LONG: Duration = Duration::from_millis(80);
    const SHORT: Duration = Duration::from_millis(1);
    const REST: Duration = Duration::from_millis(800);

    fn queue() -> QueueName {
        "q".into()
    }

    fn woken(reasons: &[WakeReason]) -> WakeReasons {
        let waker = Waker::default();
        reasons.iter().for_each(|reason| waker.wake(*reason));
        waker.take()
    }

    fn searched(times: &[Duration], at: Instant) -> FrontSearch {
        let mut search = FrontSearch::default();
        let mut position = ClaimPosition::default();
        position.advance(0, 7);
        search.note_claimed(&queue(), &position, false);
        for took in times {
            search.note_search(at, *took, true);
        }
        search.begin_round(WakeReasons::default());
        search
    }

    #[test]
    fn healthy_queues_are_searched_from_the_front() {
        let now = Instant::now();
        for times in [&[][..], &[SHORT; 3], &[LONG], &[LONG, LONG, SHORT]] {
            let mut search = searched(times, now);
            assert_eq!(search.position(&queue()), None, "{times:?}");
            assert_eq!(search.positions(now), None, "{times:?}");
        }
    }

    #[test]
    fn slow_queues_are_searched_behind_the_latest_claim_until_the_rest_is_over() {
        let now = Instant::now();
        let mut search = searched(&[LONG, LONG], now);
        assert!(search.position(&queue()).is_some());
        assert!(search.position(&"other".into()).is_none(), "nothing was claimed there");
        assert!(search.positions(now + LONG).is_some());
        assert!(search.positions(now + REST).is_none());
        assert_eq!(search.position(&queue()), None, "the claims of this round begin at the front, too");
        search.begin_round(WakeReasons::default());
        assert!(search.position(&queue()).is_some());
    }

    #[test]
    fn the_front_is_searched_again_soon_if_anything_came() {
        let now = Instant::now();
        let mut search = searched(&[LONG, LONG], now);
        assert_eq!(search.until_next(now), None);
        search.begin_round(woken(&[WakeReason::Enqueued]));
        assert_eq!(search.until_next(now), Some(REST));
        search.begin_round(woken(&[WakeReason::Promoted]));
        assert_eq!(search.until_next(now), Some(LONG * REST_FACTOR_IF_PROMOTED));
        search.note_search(now, LONG, true);
        assert_eq!(search.until_next(now), None);
    }

    #[test]
    fn a_claim_from_the_front_rests_longer_if_it_took_longer() {
        let now = Instant::now();
        let mut search = searched(&[LONG, LONG], now);
        search.note_claim(now, LONG * 9);
        assert!(search.positions(now + REST).is_none(), "that claim did not search the front");
        search.note_search(now, LONG, true);
        search.note_claim(now, LONG * 9);
        search.begin_round(WakeReasons::default());
        assert!(search.positions(now + REST).is_some());
        assert!(search.positions(now + REST * 9).is_none());
        let mut healthy = searched(&[SHORT], now);
        healthy.note_search(now, SHORT, true);
        healthy.note_claim(now, LONG);
        assert_eq!(healthy.until_next(now), None);
    }

    #[test]
    fn short_searches_rest_as_long_as_a_poll() {
        let now = Instant::now();
        let mut search = searched(&[SLOW, SLOW], now);
        search.begin_round(woken(&[WakeReason::Enqueued]));
        assert_eq!(search.until_next(now), Some(MIN_REST));
        let mut healthy = searched(&[SHORT], now);
        healthy.begin_round(woken(&[WakeReason::Enqueued, WakeReason::Promoted]));
        assert_eq!(healthy.until_next(now), None);
    }

    #[test]
    fn a_server_that_is_far_away_is_not_slow() {
        let now = Instant::now();
        let mut far = searched(&[LONG, LONG], now);
        assert!(far.positions(now).is_some(), "that is not known yet");
        far.note_search_behind(LONG);
        far.note_search(now, LONG, true);
        far.note_search(now, LONG, true);
        far.begin_round(WakeReasons::default());
        assert!(far.positions(now).is_none());
        far.note_search(now, SHORT, true);
        far.note_search(now, LONG, true);
        far.note_search(now, LONG, true);
        far.begin_round(WakeReasons::default());
        assert!(far.positions(now).is_some(), "the fastest counts");
    }

    #[test]
    fn a_backlog_in_front_of_the_position_is_claimed_to_its_end() {
        let now = Instant::now();
        let mut search = searched(&[LONG, LONG], now);
        let mut claimed = ClaimPosition::default();
        claimed.advance(0, 3);
        search.note_claimed(&queue(), &claimed, true);
        let mut known = ClaimPosition::default();
        known.advance(0, 7);
        assert_eq!(search.position(&queue()), Some(&known), "that claim was behind the position");
        search.note_search(now, LONG, true);
        search.note_claimed(&queue(), &claimed, true);
        search.begin_round(WakeReasons::default());
        assert_eq!(search.position(&queue()), Some(&claimed));
    }

    #[test]
    fn a_search_without_the_slow_queue_says_nothing_of_it() {
        let now = Instant::now();
        let mut search = searched(&[LONG, LONG], now);
        search.note_search(now, SHORT, false);
        search.begin_round(WakeReasons::default());
        assert!(search.position(&queue()).is_some());
        search.note_search(now, SHORT, true);
        search.begin_round(WakeReasons::default());
        assert!(search.position(&queue()).is_none());
    }

    #[test]
    fn searches_that_stay_slow_are_reported_once_and_so_is_their_end() {
        let now = Instant::now();
        let mut search = FrontSearch::default();
        let seen = [0, 1, 5, 11, 12, 13].map(|at| search.note_search(now + Duration::from_secs(at), LONG, true));
        assert_eq!(seen, [None, None, None, Some(SearchReport::Slow(REST)), None, None]);
        assert_eq!([SHORT; 2].map(|took| search.note_search(now, took, true)), [Some(SearchReport::Fast), None]);
        let seen = [0, 1, 30].map(|at| search.note_search(now + Duration::from_secs(at), SLOW, true));
        assert_eq!(seen, [None; 3], "nobody notices these");
    }
}
