//! Packing endpoints into slices so that little moves: an endpoint stays in its slice, new ones fill slices that change
//! anyway, and only then others. Source: KEP-0752, "reconciliation logic".

use std::collections::HashMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// The most endpoints of a slice. Source: `--max-endpoints-per-slice`.
pub(super) const ENDPOINTS_MAX: usize = 100;

/// What is to be written.
#[derive(Default)]
pub(super) struct Packing {
    pub update: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)>,
    pub create: Vec<Vec<Endpoint>>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// What makes an endpoint the same although its state may change.
type Identity = (Vec<String>, String);

fn identity(endpoint: &Endpoint) -> Identity {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    (endpoint.addresses.clone(), uid.unwrap_or_default())
}

impl Packing {
    /// Packs `wanted` into `slices`, all of one set of ports. `is_current` says whether a slice's metadata are as they
    /// should be.
    pub fn of(
        wanted: Vec<Endpoint>,
        slices: &[Arc<EndpointSlice>],
        is_current: impl Fn(&EndpointSlice) -> bool,
    ) -> Self {
        let order: Vec<Identity> = wanted.iter().map(identity).collect();
        let mut missing: HashMap<Identity, Endpoint> = order.iter().cloned().zip(wanted).collect();
        let mut packing = Self::default();
        let mut unchanged: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
        let mut emptied = Vec::new();
        for slice in slices {
            let old = slice.endpoints.as_deref().unwrap_or_default();
            let kept: Vec<_> = old.iter().filter_map(|endpoint| missing.remove(&identity(endpoint))).collect();
            if kept.is_empty() {
                emptied.push(slice.clone());
            } else if kept == old && is_current(slice) {
                unchanged.push((slice.clone(), kept));
            } else {
                packing.update.push((slice.clone(), kept));
            }
        }
        let mut rest: Vec<Endpoint> = order.iter().filter_map(|identity| missing.remove(identity)).collect();

        // Slices that are written anyway are filled first, the fullest before the others.
        packing.update.sort_by_key(|(_, endpoints)| std::cmp::Reverse(endpoints.len()));
        for (_, endpoints) in &mut packing.update {
            let room = ENDPOINTS_MAX.saturating_sub(endpoints.len()).min(rest.len());
            endpoints.extend(rest.drain(..room));
        }
        // Then one slice that takes all the rest, the fullest that can.
        if !rest.is_empty() {
            let fitting = unchanged.iter().enumerate().filter(|(_, (_, of))| of.len() + rest.len() <= ENDPOINTS_MAX);
            if let Some((at, _)) = fitting.max_by_key(|(_, (_, endpoints))| endpoints.len()) {
                let (slice, mut endpoints) = unchanged.swap_remove(at);
                endpoints.append(&mut rest);
                packing.update.push((slice, endpoints));
            }
        }
        // Then those that lost all they had, and then new ones.
        while !rest.is_empty() {
            let part: Vec<_> = rest.drain(..rest.len().min(ENDPOINTS_MAX)).collect();
            match emptied.pop() {
                Some(slice) => packing.update.push((slice, part)),
                None => packing.create.push(part),
            }
        }
        // With nothing to hold one slice stays, and says so.
        let holds_nothing = unchanged.is_empty() && packing.update.is_empty() && packing.create.is_empty();
        if holds_nothing {
            match emptied.pop() {
                Some(slice) if is_current(&slice) && slice.endpoints.as_ref().is_none_or(Vec::is_empty) => {}
                Some(slice) => packing.update.push((slice, Vec::new())),
                None => packing.create.push(Vec::new()),
            }
        }
        packing.delete = emptied;
        packing
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn endpoint(number: usize) -> Endpoint {
        let target = ObjectReference { uid: Some(number.to_string()), ..ObjectReference::default() };
        let addresses = vec![format!("10.0.{}.{}", number / 250, number % 250)];
        Endpoint { addresses, target_ref: Some(target), ..Endpoint::default() }
    }

    fn slice(numbers: std::ops::Range<usize>) -> Arc<EndpointSlice> {
        let endpoints = Some(numbers.map(endpoint).collect());
        Arc::new(EndpointSlice { endpoints, ..EndpointSlice::default() })
    }

    /// Sizes of what is updated and created, and how many are deleted.
    fn pack(wanted: impl Iterator<Item = usize>, slices: Vec<Arc<EndpointSlice>>) -> (Vec<usize>, Vec<usize>, usize) {
        let packing = Packing::of(wanted.map(endpoint).collect(), &slices, |_| true);
        let updated: Vec<_> = packing.update.iter().map(|(_, endpoints)| endpoints.len()).collect();
        let created: Vec<_> = packing.create.iter().map(Vec::len).collect();
        for size in updated.iter().chain(&created) {
            assert!(*size <= ENDPOINTS_MAX);
        }
        (updated, created, packing.delete.len())
    }

    #[test]
    fn little_moves() {
        for (case, wanted, slices, expected) in [
            ("nothing at all", vec![], vec![], (vec![], vec![0], 0)),
            ("first ones", (0..250).collect(), vec![], (vec![], vec![100, 100, 50], 0)),
            ("as it is", (0..3).collect(), vec![slice(0..3)], (vec![], vec![], 0)),
            ("one more", (0..4).collect(), vec![slice(0..3)], (vec![4], vec![], 0)),
            ("one less", (0..2).collect(), vec![slice(0..3)], (vec![2], vec![], 0)),
            (
                "one more beyond full slices",
                (0..201).collect(),
                vec![slice(0..100), slice(100..200)],
                (vec![], vec![1], 0),
            ),
            (
                "the fullest that has room",
                (0..121).collect(),
                vec![slice(0..90), slice(90..120)],
                (vec![91], vec![], 0),
            ),
            (
                "what changes anyway is filled",
                (1..151).collect(),
                vec![slice(0..100), slice(100..150)],
                (vec![100], vec![], 0),
            ),
            ("a slice that lost all", (0..100).collect(), vec![slice(0..100), slice(100..110)], (vec![], vec![], 1)),
            ("all gone", vec![], vec![slice(0..2), slice(2..4)], (vec![0], vec![], 1)),
            ("all replaced", (10..12).collect(), vec![slice(0..2)], (vec![2], vec![], 0)),
        ] {
            assert_eq!(pack(wanted.into_iter(), slices), expected, "{case}");
        }
    }

    #[test]
    fn a_changed_state_stays_in_its_slice() {
        let mut changed = endpoint(1);
        changed.hostname = Some("x".into());
        let slices = [slice(0..100), slice(100..110)];
        let wanted = (0..110).map(|n| if n == 1 { changed.clone() } else { endpoint(n) }).collect();
        let packing = Packing::of(wanted, &slices, |_| true);
        assert_eq!(packing.update.len(), 1);
        assert!(Arc::ptr_eq(&packing.update[0].0, &slices[0]));
        assert_eq!(packing.update[0].1[1], changed);
        let relabelled = Packing::of((0..110).map(endpoint).collect(), &slices, |_| false);
        assert_eq!(relabelled.update.len(), 2);
    }
}
