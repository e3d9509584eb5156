//! Shuffle sharding: each flow gets a hand of queues, so that two flows seldom share all of theirs. Source: KEP-1040.

/// The largest hand: what 60 bits of a hash can deal from a deck of the same size.
pub const HAND_MAX: usize = 24;

/// The queues of a flow: `hand` different numbers below `deck`, the same for the same hash.
pub struct Hand {
    cards: [u32; HAND_MAX],
    size: usize,
}

impl Hand {
    #[allow(clippy::needless_range_loop, reason = "the index is also the number of cards dealt so far")]
    pub fn deal(mut hash: u64, deck: usize, hand: usize) -> Self {
        let size = hand.clamp(1, HAND_MAX).min(deck.max(1));
        let (mut cards, mut taken) = ([0; HAND_MAX], [0; HAND_MAX]);
        for at in 0..size {
            let left = (deck - at).max(1) as u64;
            let mut card = (hash % left) as u32;
            hash /= left;
            // The card's number counts those that are left; `taken` is in ascending order.
            let mut place = 0;
            while place < at && card >= taken[place] {
                card += 1;
                place += 1;
            }
            taken.copy_within(place..at, place + 1);
            taken[place] = card;
            cards[at] = card;
        }
        Self { cards, size }
    }

    pub fn cards(&self) -> &[u32] {
        &self.cards[..self.size]
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn hands_have_different_cards_and_spread_evenly() {
        const SEED: u64 = 7;
        const DEALS: usize = 20_000;
        let mut rng = SmallRng::seed_from_u64(SEED);
        for (deck, hand) in [(1, 1), (2, 2), (16, 4), (64, 6), (128, 6), (8, 8)] {
            let mut counts = vec![0_usize; deck];
            for _ in 0..DEALS {
                let dealt = Hand::deal(rng.random(), deck, hand);
                let mut cards = dealt.cards().to_vec();
                cards.sort_unstable();
                cards.dedup();
                assert_eq!(cards.len(), hand, "deck {deck}: {:?}", dealt.cards());
                cards.iter().for_each(|card| counts[*card as usize] += 1);
            }
            let fair = DEALS * hand / deck;
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(
                *least > fair * 7 / 10 && *most < fair * 13 / 10,
                "seed {SEED}, deck {deck}: {least} to {most} of {fair}"
            );
        }
        assert_eq!(Hand::deal(99, 64, 6).cards(), Hand::deal(99, 64, 6).cards());
    }
}
