//! Queues that are outside their period: nothing of them begins, and what runs may be told to end.

use super::{ClaimState, InFlight};
use crate::{domain::identity::QueueName, handler::StopReason};

impl InFlight {
    /// Begins nothing of these queues from now on, and of all others again.
    pub fn shut(&self, queues: &[QueueName]) {
        for (queue, lane) in &mut self.lock().lanes {
            lane.shut = queues.contains(queue);
        }
    }

    /// The queues of which nothing begins now.
    pub fn shut_queues(&self) -> Vec<QueueName> {
        let inner = self.lock();
        inner.lanes.iter().filter(|(_, lane)| lane.shut).map(|(queue, _)| queue.clone()).collect()
    }

    /// Tells the running tasks of a queue that its period is over. Gives how many had not been told to end before.
    pub fn stop_queue(&self, queue: &QueueName) -> usize {
        let mut stopped = 0;
        for held in self.lock().held.values() {
            if let ClaimState::Running { context, .. } = held
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
