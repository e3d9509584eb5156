//! Parsed views of objects: kept while somebody uses them, and for a while longer within one bound for the process.
//!
//! A view takes several times what the object's bytes take, so an object must not keep its view for as long as it lives:
//! a store holds a hundred thousand objects of which a few are looked at.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// About how many bytes of views nobody may be using stay, for all objects together: 48 MiB.
const KEPT_BYTES_MAX: usize = 48 << 20;
/// What a view takes for each byte of JSON, about: strings of their own, maps, alignment.
const BYTES_OF_A_BYTE: usize = 4;
/// What the smallest view takes, about.
const VIEW_BYTES_MIN: usize = 512;

type Shared = dyn Any + Send + Sync;

/// The place in an object for one view.
#[derive(Default)]
pub(crate) struct View(Mutex<Option<Weak<Shared>>>);

impl View {
    /// The view, if it is of this type and still there; else the one that `make` makes of `bytes` bytes of JSON.
    pub fn get<T: Any + Send + Sync, E>(&self, bytes: usize, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Weak::upgrade);
        if let Some(view) = known.and_then(|known| known.downcast::<T>().ok()) {
            return Ok(view);
        }
        // Made without the lock: two who ask at once may both make it, and either will do.
        let view = Arc::new(make()?);
        let shared: Arc<Shared> = view.clone();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&shared));
        let gone =
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).keep(shared, VIEW_BYTES_MIN + bytes * BYTES_OF_A_BYTE);
        // Freed without the lock.
        drop(gone);
        Ok(view)
    }
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { views: VecDeque::new(), bytes: 0 });

/// The newest views, oldest first. Which of them are used is not noted: what is used again is made again, once.
struct Kept {
    views: VecDeque<(Arc<Shared>, usize)>,
    bytes: usize,
}

impl Kept {
    /// Gives what has to go for it.
    fn keep(&mut self, view: Arc<Shared>, bytes: usize) -> Vec<Arc<Shared>> {
        self.views.push_back((view, bytes));
        self.bytes += bytes;
        let mut gone = Vec::new();
        while self.bytes > KEPT_BYTES_MAX
            && let Some((oldest, bytes)) = self.views.pop_front()
        {
            self.bytes -= bytes;
            gone.push(oldest);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made<T: Any + Send + Sync>(view: &View, bytes: usize, value: T) -> Arc<T> {
        view.get(bytes, || Ok::<_, ()>(value)).unwrap()
    }

    #[test]
    fn a_view_is_made_once_for_each_type_in_a_row() {
        let view = View::default();
        let number = made(&view, 10, 1_u32);
        assert!(Arc::ptr_eq(&number, &made(&view, 10, 2_u32)), "the first is still there");
        let text = made(&view, 10, "text");
        assert_eq!(*text, "text");
        assert_eq!(view.get(10, || Err::<u8, _>("no")), Err("no"), "a failure is told");
        assert!(Arc::ptr_eq(&text, &made(&view, 10, "other")), "and changes nothing");
    }

    #[test]
    fn what_nobody_uses_goes_when_much_comes_after() {
        let (idle, used) = (View::default(), View::default());
        let in_use = made(&used, 10, 1_u32);
        made(&idle, 10, 1_u32);
        for _ in 0..3 {
            made(&View::default(), KEPT_BYTES_MAX / BYTES_OF_A_BYTE / 2, 0_u8);
        }
        assert_eq!(*made(&idle, 10, 2_u32), 2, "made again");
        assert!(Arc::ptr_eq(&made(&used, 10, 2_u32), &in_use), "as long as somebody has it, it is shared");
        let kept = KEPT.lock().unwrap();
        assert!(kept.bytes <= KEPT_BYTES_MAX);
    }
}
