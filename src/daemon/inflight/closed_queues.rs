//! Queues that are closed because they are outside their period: none of their tasks starts, and running ones may be
//! asked to stop.

use super::claim_table::{ClaimState, InFlight, wake};
use crate::{domain::identity::QueueName, handler::StopReason};

impl InFlight {
    /// Closes these queues, and opens all others.
    pub fn close_queues(&self, closed: &[QueueName]) {
        let mut table = self.lock();
        let mut has_opened = false;
        for (queue, slots) in &mut table.slots {
            let was_closed = std::mem::replace(&mut slots.is_closed, closed.contains(queue));
            has_opened |= was_closed && !slots.is_closed;
        }
        let pools = if has_opened { table.pools_with_waiting_tasks() } else { Vec::new() };
        drop(table);
        wake(&pools);
    }

    /// The queues that are closed now.
    pub fn closed_queues(&self) -> Vec<QueueName> {
        let table = self.lock();
        table.slots.iter().filter(|(_, slots)| slots.is_closed).map(|(queue, _)| queue.clone()).collect()
    }

    /// Asks the running attempts of a queue to stop because its period is over. Returns how many had not been asked to
    /// stop before.
    pub fn stop_queue(&self, queue: &QueueName) -> usize {
        let mut stopped = 0;
        for state in self.lock().claims.values() {
            if let ClaimState::Running { context, .. } = state
                && context.task().queue == *queue
                && context.stop_reason().is_none()
            {
                context.stop(StopReason::PeriodOver, context.definition().kill_after);
                stopped += 1;
            }
        }
        stopped
    }
}
