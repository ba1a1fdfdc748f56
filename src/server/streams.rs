//! How many streams may be open at a time: of all, and of each token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::access::Owner;

/// The streams that are open. One token can take its part of them, and no more: others are served.
pub(super) struct Streams {
    most: usize,
    most_of_one: usize,
    open: Arc<Open>,
}

#[derive(Default)]
struct Open(Mutex<HashMap<Owner, usize>>);

/// A stream that may be open for as long as this is there.
pub(super) struct Permit {
    owner: Owner,
    open: Arc<Open>,
}

impl Streams {
    /// At most `most`, and of one token `most_of_one`.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, open: Arc::default() }
    }

    /// Lets `owner` open one more; `None` if there are too many.
    pub fn open(&self, owner: &Owner) -> Option<Permit> {
        let mut open = self.open.locked();
        let own = open.get(owner).copied().unwrap_or_default();
        if own >= self.most_of_one || open.values().sum::<usize>() >= self.most {
            return None;
        }
        open.insert(owner.clone(), own + 1);
        Some(Permit { owner: owner.clone(), open: Arc::clone(&self.open) })
    }
}

impl Open {
    fn locked(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(own) = self.open.locked().get_mut(&self.owner) {
            *own = own.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::Tokens;
    use super::*;

    fn owners() -> [Owner; 2] {
        let token = |name: &str| super::super::Token {
            name: name.to_owned(),
            secret: format!("the long secret of {name}").into(),
        };
        let tokens = Tokens::new(&[token("ann"), token("bob")], None).unwrap();
        ["ann:x", "bob:x"].map(|id| tokens.owner_of(id))
    }

    #[test]
    fn one_token_has_its_part_and_all_have_no_more_than_there_are() {
        let [ann, bob] = owners();
        let streams = Streams::new(3, 2);
        let first = streams.open(&ann).unwrap();
        let _second = streams.open(&ann).unwrap();
        assert!(streams.open(&ann).is_none(), "ann has its part");
        let _third = streams.open(&bob).unwrap();
        assert!(streams.open(&bob).is_none(), "there are no more");
        drop(first);
        assert!(streams.open(&bob).is_some());
        assert!(streams.open(&ann).is_some());
    }
}
