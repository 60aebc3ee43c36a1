use super::{Line, Paper, weight};

/// Deficit round robin as in the paper: round by round, key by key. `FairShare` skips rounds in which no key can pay;
/// this goes through them.
#[derive(Default)]
pub(super) struct RoundRobin {
    round: u64,
    /// The waiting keys, by when they began or their last turn ended.
    keys: Vec<Share>,
    /// The key whose turn it is.
    current: Option<Option<u64>>,
}

struct Share {
    key: Option<u64>,
    deficit: u64,
    /// The last round that it was credited for.
    visited: u64,
}

/// The first job of a key: its position, its number, and what it costs.
fn first(waiting: &[Line], key: Option<u64>) -> Option<(usize, Line)> {
    let mut lines = waiting.iter().copied().enumerate();
    lines.find(|(_, line)| line.said.key == key)
}

impl Paper for RoundRobin {
    fn pushed(&mut self, line: Line) {
        let key = line.said.key;
        if self.keys.iter().all(|share| share.key != key) {
            self.keys.push(Share {
                key,
                deficit: 0,
                visited: self.round,
            });
        }
    }

    fn next(&mut self, waiting: &[Line], _: u64) -> usize {
        let key = loop {
            if let Some(key) = self.current {
                break key;
            }
            let round = self.round;
            match self.keys.iter_mut().find(|share| share.visited < round) {
                Some(share) => {
                    share.visited = round;
                    share.deficit += weight(share.key);
                    let (_, line) = first(waiting, share.key).unwrap();
                    if line.said.weight <= share.deficit {
                        self.current = Some(share.key);
                    }
                }
                None => self.round += 1,
            }
        };
        let (at, line) = first(waiting, key).unwrap();
        let place = self.keys.iter().position(|share| share.key == key).unwrap();
        self.keys[place].deficit -= line.said.weight;
        match first(&waiting[at + 1..], key) {
            Some((_, line)) if line.said.weight <= self.keys[place].deficit => {}
            more => {
                let share = self.keys.remove(place);
                self.keys.extend(more.map(|_| share));
                self.current = None;
            }
        }
        at
    }

    /// A key whose first job went waits for the next round, unless it is due in this one.
    fn retained(&mut self, before: &[Line], after: &[Line]) {
        let (round, current) = (self.round, &mut self.current);
        self.keys.retain_mut(|share| {
            let (_, old) = first(before, share.key).unwrap();
            let its_turn = *current == Some(share.key);
            let Some((_, new)) = first(after, share.key) else {
                *current = current.filter(|_| !its_turn);
                return false;
            };
            let credit = share.deficit + weight(share.key);
            let coming = share.visited < round;
            if its_turn && new.said.weight > share.deficit {
                *current = None;
            } else if new.number != old.number && coming && credit < old.said.weight {
                share.visited = round;
                share.deficit = credit;
            }
            true
        });
    }
}
