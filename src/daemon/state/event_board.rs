//! Events that need a look, as the trigger manager has counted them last.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::store::EventTroubles;

/// What is wrong with events. Clones share it.
#[derive(Clone, Default)]
pub struct EventBoard(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    troubles: EventTroubles,
    refused: VecDeque<String>,
}

impl EventBoard {
    /// Notes how many events need a look.
    pub(in crate::daemon) fn note(&self, troubles: EventTroubles) {
        let mut board = self.0.lock();
        if troubles.refused == 0 {
            board.refused.clear();
        }
        board.troubles = troubles;
    }

    /// Notes an event of which no task could be made. The latest `most` are kept.
    pub(in crate::daemon) fn note_refused(&self, sentence: String, most: usize) {
        let mut board = self.0.lock();
        board.troubles.refused = board.troubles.refused.max(1);
        board.refused.push_back(sentence);
        if board.refused.len() > most {
            board.refused.pop_front();
        }
    }

    /// How many events need a look.
    pub fn troubles(&self) -> EventTroubles {
        self.0.lock().troubles
    }

    /// The latest events of which this node could make no task, each with the reason.
    pub fn refused(&self) -> Vec<String> {
        self.0.lock().refused.iter().cloned().collect()
    }
}
