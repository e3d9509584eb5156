//! A pool of numbers of which some are taken: the addresses of a network, the ports of a node.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Why a number cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Taken,
    OutOfRange,
    Full,
}

/// Numbers `first..first + size`. What is asked for by number tends to come from the low end, so what is chosen by the
/// pool comes from above `static_size`, and from below only once that is used up. Source: KEP-3070.
pub struct Pool {
    first: u128,
    size: u128,
    static_size: u128,
    /// How many hold each number: one, but for what was stored twice already.
    taken: BTreeMap<u128, u32>,
    rng: StdRng,
}

impl Pool {
    /// `seed` decides which free numbers are chosen.
    pub fn new(first: u128, size: u128, static_size: u128, seed: u64) -> Self {
        Self {
            first,
            size,
            static_size: static_size.min(size),
            taken: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether the number is one of the pool's, taken or not.
    pub fn contains(&self, number: u128) -> bool {
        number >= self.first && number - self.first < self.size
    }

    /// Takes a certain number.
    pub fn take(&mut self, number: u128) -> Result<(), Refusal> {
        if !self.contains(number) {
            return Err(Refusal::OutOfRange);
        }
        match self.taken.contains_key(&number) {
            true => Err(Refusal::Taken),
            false => {
                self.taken.insert(number, 1);
                Ok(())
            }
        }
    }

    /// Notes a number that is in use, whoever else uses it. Says whether that is in order.
    pub fn adopt(&mut self, number: u128) -> Result<(), Refusal> {
        let fresh = self.take(number);
        if fresh == Err(Refusal::Taken) {
            *self.taken.entry(number).or_default() += 1;
        }
        fresh
    }

    /// Takes any number but the first, which is kept for whoever asks for it.
    pub fn take_any(&mut self) -> Result<u128, Refusal> {
        let number = self
            .free_in(self.static_size, self.size)
            .or_else(|| self.free_in(1, self.static_size))
            .ok_or(Refusal::Full)?;
        self.taken.insert(number, 1);
        Ok(number)
    }

    /// Frees a number, once nobody else holds it.
    pub fn give_back(&mut self, number: u128) {
        if let Some(holders) = self.taken.get_mut(&number) {
            *holders -= 1;
            if *holders == 0 {
                self.taken.remove(&number);
            }
        }
    }

    /// A free number between two offsets: the first one free from a random place on.
    fn free_in(&mut self, from: u128, to: u128) -> Option<u128> {
        let (low, high) = (self.first.saturating_add(from), self.first.saturating_add(to));
        if low >= high {
            return None;
        }
        let start = low + self.rng.random_range(0..high - low);
        self.first_free(start, high).or_else(|| self.first_free(low, start))
    }

    fn first_free(&self, low: u128, high: u128) -> Option<u128> {
        let mut candidate = low;
        for (taken, _) in self.taken.range(low..high) {
            if *taken != candidate {
                break;
            }
            candidate += 1;
        }
        (candidate < high).then_some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_taken_once_and_come_back() {
        let mut pool = Pool::new(100, 10, 4, 1);
        assert_eq!(pool.take(100), Ok(()));
        assert_eq!(pool.take(100), Err(Refusal::Taken));
        assert_eq!(pool.take(110), Err(Refusal::OutOfRange));
        assert_eq!(pool.take(99), Err(Refusal::OutOfRange));
        pool.give_back(100);
        assert_eq!(pool.take(100), Ok(()));
    }

    #[test]
    fn what_two_hold_is_free_when_both_are_gone() {
        let mut pool = Pool::new(100, 10, 4, 1);
        assert_eq!((pool.adopt(105), pool.adopt(105)), (Ok(()), Err(Refusal::Taken)));
        pool.give_back(105);
        assert_eq!(pool.take(105), Err(Refusal::Taken));
        pool.give_back(105);
        assert_eq!(pool.take(105), Ok(()));
    }

    #[test]
    fn the_upper_part_is_used_up_first_and_the_first_number_never_chosen() {
        let mut pool = Pool::new(100, 10, 4, 1);
        let upper: BTreeSet<u128> = (0..6).map(|_| pool.take_any().unwrap()).collect();
        assert_eq!(upper, (104..110).collect());
        let lower: BTreeSet<u128> = (0..3).map(|_| pool.take_any().unwrap()).collect();
        assert_eq!(lower, (101..104).collect());
        assert_eq!(pool.take_any(), Err(Refusal::Full));
        pool.give_back(105);
        assert_eq!(pool.take_any(), Ok(105));
    }

    #[test]
    fn the_same_seed_chooses_the_same() {
        let choose = |seed| {
            let mut pool = Pool::new(0, 60_000, 256, seed);
            (0..5).map(|_| pool.take_any().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(choose(7), choose(7));
        assert_ne!(choose(7), choose(8));
    }
}
