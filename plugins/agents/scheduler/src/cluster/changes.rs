//! Which nodes changed, in order, so that who kept results for all nodes looks again only at those.

use std::collections::VecDeque;

use super::nodes::NodeIx;

/// Changes kept; who is further behind looks at every node again.
const CHANGES_MAX: usize = 32_768;

/// The last changes, with positions that only grow.
#[derive(Default)]
pub struct ChangeLog {
    first: u64,
    changed: VecDeque<NodeIx>,
}

impl ChangeLog {
    /// A node changed.
    pub fn push(&mut self, node: NodeIx) {
        if self.changed.len() >= CHANGES_MAX {
            self.changed.pop_front();
            self.first += 1;
        }
        self.changed.push_back(node);
    }

    /// The position after the last change.
    pub fn end(&self) -> u64 {
        self.first + self.changed.len() as u64
    }

    /// Nodes changed since a position, perhaps several times each; `None` if that is too long ago.
    pub fn since(&self, position: u64) -> Option<impl Iterator<Item = NodeIx>> {
        let skip = usize::try_from(position.checked_sub(self.first)?).ok()?;
        Some(self.changed.range(skip.min(self.changed.len())..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_from_a_position() {
        let mut log = ChangeLog::default();
        log.push(4);
        let seen = log.end();
        log.push(5);
        assert_eq!(log.since(seen).unwrap().collect::<Vec<_>>(), [5]);
        for _ in 0..CHANGES_MAX {
            log.push(6);
        }
        assert!(log.since(seen).is_none(), "too long ago");
        assert_eq!(log.since(log.end()).unwrap().count(), 0);
    }
}
